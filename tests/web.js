// Drives build/web in headless Chromium (chromedriver, over WebDriver's HTTP): trains 20 steps and compares the losses with those of the
// native portable build, stops a run, downloads the adapter, reloads the page, loads it and generates, and drops a GGUF file on the page.
// Screenshots go to build/web_test.
//   make test-web
"use strict";
const http = require("http"), fs = require("fs"), path = require("path"), { spawn, spawnSync, execFileSync } = require("child_process");
const work = path.resolve("build/web_test"), site = path.resolve("build/web");
fs.rmSync(work, { recursive: true, force: true });
fs.mkdirSync(work, { recursive: true });
let passed = 0, failed = 0;
const check = (ok, what) => { if (ok) passed++; else failed++, console.log("FAIL " + what); };
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));
const binary = ["chromium", "google-chrome"].find(b => spawnSync("which", [b]).status === 0);
if (!binary || spawnSync("which", ["chromedriver"]).status !== 0) {
  console.log((process.env.CI ? "FAIL" : "skipped") + ": no chromium or chromedriver");
  console.log(`0 passed, ${process.env.CI ? 1 : 0} failed, ${process.env.CI ? 0 : 1} skipped`);
  process.exit(process.env.CI ? 1 : 0);
}

const kinds = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };
const server = http.createServer((request, response) => {
  const isolated = request.url.startsWith("/isolated/");
  const name = request.url === "/given.gguf" ? path.join(work, "given.gguf") : path.join(site, decodeURI(request.url.split("?")[0]).replace(/^\/isolated/, "").replace(/\/$/, "/index.html"));
  if (!(name.startsWith(site) || name.startsWith(work)) || !fs.existsSync(name)) return response.writeHead(404).end();
  response.writeHead(200, { "Content-Type": kinds[path.extname(name)] || "application/octet-stream",
    ...(isolated && { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" }) });
  fs.createReadStream(name).pipe(response);
});
const port = 9515 + process.pid % 1000, driver = spawn("chromedriver", ["--port=" + port], { stdio: "ignore" });
let session = "";

async function send(method, command, body) {
  const answer = await fetch(`http://127.0.0.1:${port}/session${session}${command}`, { method, body: body && JSON.stringify(body) });
  const { value } = await answer.json();
  if (value && value.error) throw new Error(value.message);
  return value;
}
const run = script => send("POST", "/execute/sync", { script: "return " + script, args: [] });
const chrome = (cmd, params) => send("POST", "/goog/cdp/execute", { cmd, params });
async function element(id) { return Object.values(await send("POST", "/element", { using: "css selector", value: "#" + id }))[0]; }
async function click(id) { return send("POST", `/element/${await element(id)}/click`, {}); }
async function type(id, text) {
  await run(`document.getElementById("${id}").value = ""`);
  return send("POST", `/element/${await element(id)}/value`, { text });
}
async function until(what, seconds = 240) {
  for (const end = Date.now() + 1000 * seconds; Date.now() < end; await sleep(200)) {
    const text = await run(`document.getElementById("status").textContent`);
    if (text.includes(what)) return text;
    if (await run(`document.getElementById("status").className`) === "bad") throw new Error("the page says: " + text);
  }
  throw new Error("waited in vain for: " + what);
}
async function picture(name) {
  const { data } = await chrome("Page.captureScreenshot", { captureBeyondViewport: true });
  fs.writeFileSync(path.join(work, name + ".png"), Buffer.from(data, "base64"));
}

async function test() {
  const native = execFileSync("build/web_native", ["build/web/model", "build/web/dialogues.jsonl", "20"], { encoding: "utf8" }).trim().split("\n");
  await new Promise(resolve => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${server.address().port}/`;
  for (let tries = 0; tries < 100; tries++) {
    try { await fetch(`http://127.0.0.1:${port}/status`); break; } catch (e) { await sleep(100); }
  }
  const args = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1100,900"];
  const made = await send("POST", "", { capabilities: { alwaysMatch: { "goog:chromeOptions": { binary: "/usr/bin/" + binary, args,
    prefs: { "download.default_directory": work, "profile.default_content_setting_values.automatic_downloads": 1 } } } } });
  session = "/" + made.sessionId;
  await send("POST", "/url", { url });
  await until("The model is loaded");
  await type("steps", "20");
  await click("train");
  const done = await until("Done after 20 steps");
  const losses = await run("losses"), differences = losses.map((x, i) => Math.abs(x / +native[i] - 1));
  check(losses.length === 20 && native.length === 21, "20 losses");
  check(Math.max(...differences) < 1e-4, "losses as those of the native build: off by " + Math.max(...differences));
  console.log(`${done} Native: ${(+native[0]).toFixed(3)} to ${(+native[19]).toFixed(3)}, greatest difference ${Math.max(...differences).toExponential(1)};` +
              ` ${await run(`document.getElementById("speed").textContent`)} tokens/s`);
  check(await run(`document.getElementById("samples").rows.length`) === 2 && await run(`[...document.querySelectorAll("#samples td")].every(x => x.textContent)`), "samples before and after");

  await run(`document.querySelectorAll("#downloads a").forEach(x => x.click())`);
  const files = ["adapter_config.json", "adapter_model.safetensors"].map(name => path.join(work, name));
  for (let tries = 0; tries < 50 && !files.every(f => fs.existsSync(f)); tries++) await sleep(100);
  check(files.every(f => fs.existsSync(f)), "downloaded");
  await click("generate");
  await until("Answered with the adapter");
  const before = await run(`document.getElementById("answer").textContent`);
  for (const [name, media, width, mobile] of [["light", "light", 1100, false], ["dark", "dark", 1100, false], ["phone", "light", 390, true], ["phone-dark", "dark", 390, true]]) {
    await chrome("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: media }] });
    await chrome("Emulation.setDeviceMetricsOverride", { width, height: 900, deviceScaleFactor: 1, mobile });
    check(await run("document.documentElement.scrollWidth <= innerWidth"), name + ": nothing wider than the window");
    await run("scrollTo(0, 0)");
    await picture(name);
  }
  await chrome("Emulation.clearDeviceMetricsOverride", {});

  await send("POST", "/refresh", {});
  await until("The model is loaded");
  await send("POST", `/element/${await element("adapter-files")}/value`, { text: files.join("\n") });
  await until("The adapter is loaded");
  await run(`document.getElementById("ask").value = ${JSON.stringify(await run(`document.getElementById("prompt").value.replace("{{dialogue}}", JSON.parse(document.getElementById("examples").value.split("\\n")[0]).dialogue)`))}`);
  await click("generate");
  await until("Answered with the adapter");
  const after = await run(`document.getElementById("answer").textContent`);
  check(before && before === after, `the loaded adapter answers as before: "${after}", not "${before}"`);

  await type("steps", "1000");  // by keyboard: Enter on the focused button
  await run(`document.getElementById("train").focus()`);
  await send("POST", "/actions", { actions: [{ type: "key", id: "k", actions: [{ type: "keyDown", value: "\uE007" }, { type: "keyUp", value: "\uE007" }] }] });
  await until("Training on");
  await sleep(2000);
  await click("stop");
  const stopped = await until("Done after");
  check(+stopped.match(/after (\d+)/)[1] < 1000, "stopped: " + stopped);

  const given = fs.readdirSync("build/web/model").map(name => path.resolve("build/web/model", name));
  await send("POST", `/element/${await element("model-files")}/value`, { text: given.join("\n") });
  await until("The model is loaded");
  check((await run(`document.getElementById("model").textContent`)).startsWith("model.safetensors: "), "a model of one's own files");
  execFileSync("build/peft", ["export", "build/web/model", path.join(work, "given.gguf"), "--quiet"]);
  await run(`fetch("/given.gguf").then(r => r.blob()).then(b => { const d = new DataTransfer(); d.items.add(new File([b], "given.gguf"));
    document.dispatchEvent(new DragEvent("drop", { dataTransfer: d })); })`);
  let shown = "";
  for (let tries = 0; tries < 300 && !shown.startsWith("given.gguf: "); tries++) await sleep(100), shown = await run(`document.getElementById("model").textContent`);
  check(shown.startsWith("given.gguf: "), "a dropped GGUF file: " + shown);
  await type("steps", "3");
  await click("train");
  await until("Done after 3 steps");
  const first = await run("losses[0]");
  check(Math.abs(first / +native[0] - 1) < 1e-4, `its loss is ${first}, not ${native[0]}`);

  await run(`document.getElementById("method").value = "3"`);
  await type("steps", "2");
  await click("train");
  await until("Done after 2 steps");
  const vectors = await run(`document.getElementById("trained").textContent`);
  check(vectors === (2 * 8 * 128).toLocaleString("en"), "prompt tuning: 8 vectors of 128 numbers, and Hugging Face's for the decoder, not " + vectors);
  await run(`document.getElementById("examples").value = '{"dialogue": '`);
  await click("train");
  let said = "";
  for (let tries = 0; tries < 50 && !said; tries++) said = await run(`document.getElementById("status").className === "bad" ? document.getElementById("status").textContent : ""`) || (await sleep(100), "");
  check(said.includes("data.jsonl"), "a bad example is said: " + said);

  // With threads: the same losses to the last bit.
  await send("POST", "/url", { url: url + "isolated/" });
  await until("The model is loaded");
  check(/ [0-9]+ threads/.test(await run(`document.getElementById("model").textContent`)), "threads: " + await run(`document.getElementById("model").textContent`));
  await type("steps", "20");
  await click("train");
  await until("Done after 20 steps");
  check(JSON.stringify(await run("losses")) === JSON.stringify(losses), "threads change no loss: " + await run("losses") + ", not " + losses);
  console.log(`With threads: ${await run(`document.getElementById("speed").textContent`)} tokens/s`);
}

test().catch(e => check(false, e.message)).finally(async () => {
  if (session) await send("DELETE", "").catch(() => {});
  driver.kill();
  server.close();
  console.log(`test_web: ${passed} passed, ${failed} failed, 0 skipped`);
  process.exit(failed ? 1 : 0);
});
