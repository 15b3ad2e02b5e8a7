// Tells screen readers what just happened, politely.

export function announce(sentence) {
  const place = document.getElementById("announcer");
  if (place) {
    place.textContent = "";
    requestAnimationFrame(() => {
      place.textContent = sentence;
    });
  }
}
