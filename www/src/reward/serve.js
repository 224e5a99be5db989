// Stands behind a person's function, `reward`, in its worker: asks it for one completion after the other.
self.onmessage = ({ ports: [port] }) => {
  const told = (value) => {
    try {
      return typeof value === "string" ? JSON.stringify(value) : String(value);
    } catch {
      return "what cannot be shown";
    }
  };
  port.onmessage = async ({ data: { record, completion } }) => {
    try {
      const score = await reward(record, completion);
      if (typeof score === "number") port.postMessage({ score });
      else port.postMessage({ error: `returned ${told(score)}, which is no number` });
    } catch (error) {
      port.postMessage({ error: `threw ${told(error)}` });
    }
  };
  if (typeof reward !== "function") throw Error(`this is ${told(reward)}, and no function`);
  port.postMessage({ ready: true });
};
