// The script of the frame in which a person's reward runs: it starts the reward as a worker, which an endless loop keeps from
// nothing but itself, and gives who asks a port to it. The page's policy names this very text by its hash (offline/policy.ts).
self.onmessage = ({ data: { code }, ports: [port] }) => {
  self.onmessage = null;
  const worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
  worker.onerror = (event) => {
    event.preventDefault();
    port.postMessage({ error: event.message, line: event.lineno });
  };
  const { port1, port2 } = new MessageChannel();
  worker.postMessage(null, [port2]);
  port.postMessage({ port: port1 }, [port1]);
};
