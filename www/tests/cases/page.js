// Runs the cases of a test program (`?program=NAME`), but for those that are to be left out (`&without=CASE&without=CASE`),
// one after the other in a worker, and reports each by POST. After a panic the worker's wasm is of no use: a new one goes on.

const asked = new URLSearchParams(location.search);
const [program, without] = [asked.get("program"), asked.getAll("without")];
const report = (said) => fetch("report", { method: "POST", body: JSON.stringify(said) });

/** What the worker says next; an error that it did not catch is an outcome too. */
const answer = (worker) =>
  new Promise((resolve) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => resolve({ problem: `the worker failed: ${event.message}`, spent: true });
  });

async function start() {
  const worker = new Worker(`worker.js?program=${program}`, { type: "module" });
  return { worker, ready: await answer(worker) };
}

let { worker, ready } = await start();
const unknown = without.filter((name) => !ready.cases?.includes(name));
if (unknown.length) ready.problem ??= `there is no case ${unknown.join(", ")}`;
ready.cases = ready.cases?.filter((name) => !without.includes(name));
await report(ready);
for (const name of ready.cases ?? []) {
  const began = performance.now();
  worker.postMessage(name);
  const outcome = await answer(worker);
  await report({ name, ...outcome, seconds: (performance.now() - began) / 1000 });
  if (outcome.spent) {
    worker.terminate();
    ({ worker, ready } = await start());
  }
}
await report({ finished: true });
