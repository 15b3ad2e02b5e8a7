// The forms' CSRF token. Whoever signs in again in another tab gets a new one, and this page's forms still hold the
// old: the cookie, which all tabs share, has the token that counts.

/** The token that counts now, or "" when there is no cookie. */
export function csrfToken() {
  return document.cookie.match(/(?:^|; )slipway_csrf=([^;]+)/)?.[1] ?? "";
}

/** Put the token that counts into every form of the page. */
export function renewTokens() {
  const token = csrfToken();
  for (const input of token ? document.querySelectorAll("input[name=csrfmiddlewaretoken]") : []) {
    input.value = token;
  }
}

document.addEventListener("submit", renewTokens, true);
