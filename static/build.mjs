// Bundles static/src into static/dist: scripts and styles by esbuild, the icon sprite from lucide-static.
//
// The result appears whole: it is built in a folder of its own and put in place by renames, so that a build
// that fails, is interrupted, or runs twice at once leaves the last good one.

import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = path.dirname(fileURLToPath(import.meta.url));
const source = path.join(here, "src");
const target = path.join(here, "dist");

// One file of static/src each; `{% static 'console.js' %}` names it in a template. Those that exist are built.
const entries = [
  "scripted.js", // classic script in <head>, before the first paint
  "console.js",
  "console.css",
  "chat.js",
  "chat.css",
  "debug.js",
  "deploy.js",
  "logs.css",
  "logs.js",
  "monitoring.css",
  "monitoring.js",
  "deploy.css",
];

async function bundle(folder) {
  const result = await build({
    entryPoints: entries.map((name) => path.join(source, name)).filter(existsSync),
    outdir: folder,
    bundle: true,
    minify: true,
    format: "esm",
    splitting: true,
    target: ["es2022", "chrome109", "firefox115", "safari16"],
    chunkNames: "chunks/[name]-[hash]",
    assetNames: "assets/[name]-[hash]",
    legalComments: "linked",
    sourcemap: false,
    metafile: true,
    logLevel: "warning",
    nodePaths: [path.join(here, "..", "node_modules")],
  });
  for (const [name, output] of Object.entries(result.metafile.outputs)) {
    if (output.entryPoint) {
      console.log(`${path.basename(name)} ${Math.ceil(output.bytes / 1024)} KiB`);
    }
  }
}

// <svg><use href="…icons.svg#name"/></svg> shows an icon in the colour of its text.
async function sprite(folder) {
  const list = path.join(source, "icons.txt");
  if (!existsSync(list)) {
    return;
  }
  const names = (await readFile(list, "utf8")).split("\n").map((line) => line.split("#")[0].trim()).filter(Boolean);
  const symbols = [];
  for (const name of [...new Set(names)].sort()) {
    const file = path.join(here, "..", "node_modules", "lucide-static", "icons", `${name}.svg`);
    if (!existsSync(file)) {
      throw new Error(`static/src/icons.txt: lucide-static has no icon named ${name}. Look it up in its icons folder.`);
    }
    const inner = (await readFile(file, "utf8")).match(/<svg[^>]*>([\s\S]*)<\/svg>/)[1].replace(/\s+/g, " ").trim();
    symbols.push(
      `<symbol id="${name}" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" ` +
        `stroke-linecap="round" stroke-linejoin="round">${inner}</symbol>`,
    );
  }
  const licence = "<!-- Icons: lucide-static, ISC licence -->";
  await writeFile(
    path.join(folder, "icons.svg"),
    `${licence}<svg xmlns="http://www.w3.org/2000/svg">${symbols.join("")}</svg>\n`,
  );
}

await mkdir(target, { recursive: true });
const folder = await mkdtemp(path.join(here, ".dist-"));
try {
  await bundle(folder);
  await sprite(folder);
  const old = `${folder}-old`;
  await rename(target, old);
  await rename(folder, target);
  await rm(old, { recursive: true, force: true });
} catch (error) {
  await rm(folder, { recursive: true, force: true });
  console.error(`static files: ${error.message}`);
  process.exitCode = 1;
}
