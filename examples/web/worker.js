// The one worker: it owns the module and answers {id, call, ...} with {id, result} or {id, error}. While it trains it sends
// {progress} after each step and listens between steps.
"use strict";
let ready;
const started = new Promise(resolve => ready = resolve);
// Threads need memory that workers share, which browsers give to pages that are cross-origin isolated.
const threads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, 16) : 1, script = threads > 1 ? "threads.js" : "peft.js";
var Module = { onRuntimeInitialized: () => ready(), print: () => {}, threads, mainScriptUrlOrBlob: script };
importScripts(script);

let stopped = false;
// Calls into the module; texts come back as addresses, 0 where there is none.
const number = (name, ...list) => Module.ccall(name, "number", list.map(x => typeof x === "string" ? "string" : "number"), list);
const text = (name, ...list) => { const at = number(name, ...list); return at ? UTF8ToString(at) : null; };

// Calls of the library that return a peft_status.
function must(name, ...list) {
  if (number(name, ...list)) throw new Error(text("web_error"));
}

// A new folder with these files: [{name, bytes}].
function folder(path, files) {
  try { for (const f of Module.FS.readdir(path)) if (f[0] !== ".") Module.FS.unlink(path + "/" + f); } catch (e) { Module.FS.mkdir(path); }
  for (const f of files) Module.FS.writeFile(path + "/" + f.name, f.bytes);
}

const calls = {
  async model({ files }) {
    if (!files) {  // the project's own, beside the page
      const names = (await (await fetch("model.txt")).text()).trim().split("\n");
      files = await Promise.all(names.map(async name => ({ name, bytes: new Uint8Array(await (await fetch("model/" + name)).arrayBuffer()) })));
    }
    folder("/model", files);
    const gguf = files.find(f => f.name.endsWith(".gguf"));
    must("web_model", gguf ? "/model/" + gguf.name : "/model", threads);
    return { threads: number("web_threads"), parameters: number("web_parameters", 0), memory: number("web_memory") };
  },
  data({ lines, prompt, completion }) {
    Module.FS.writeFile("/data.jsonl", lines);
    must("web_data", "/data.jsonl", prompt, completion);
    return number("web_examples");
  },
  example({ i }) { return { prompt: text("web_example", i, 0), wanted: text("web_example", i, 1) }; },
  async train({ method, rank, batch, steps, rate }) {
    must("web_start", method, rank, batch, steps, rate);
    stopped = false;
    const begin = performance.now(), losses = [];
    while (losses.length < steps && !stopped) {
      const loss = number("web_step");
      if (!(loss >= 0)) throw new Error(text("web_error"));
      losses.push(loss);
      const seconds = (performance.now() - begin) / 1000;
      postMessage({ progress: { step: losses.length, steps, loss, speed: number("web_tokens") / seconds, memory: number("web_memory"), trained: number("web_parameters", 1) } });
      await new Promise(resolve => setTimeout(resolve));  // a message may wait
    }
    return losses;
  },
  stop() { stopped = true; },
  generate({ prompt, adapted, most }) {
    const answer = text("web_generate", prompt, adapted ? 1 : 0, most);
    if (answer === null) throw new Error(text("web_error"));
    return answer;
  },
  save() {
    folder("/adapter", []);
    must("web_save", "/adapter");
    return Module.FS.readdir("/adapter").filter(f => f[0] !== ".").map(name => ({ name, bytes: Module.FS.readFile("/adapter/" + name) }));
  },
  load({ files }) {
    folder("/given", files);
    must("web_load_adapter", "/given");
    return number("web_parameters", 1);
  },
};

onmessage = async ({ data }) => {
  await started;
  try { postMessage({ id: data.id, result: await calls[data.call](data) }); }
  catch (e) { postMessage({ id: data.id, error: String(e.message || e) }); }
};
