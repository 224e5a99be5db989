// Objectives beside one another on a token tree: how far each policy still is from the known optimum.

import type { App } from "../app";
import { Chart } from "../chart";
import { field, h, select } from "../element";
import { count, percent, short } from "../format";
import { redraw } from "../frame";
import { RaceState } from "../lab";
import type { LabOptions, RaceConfig } from "../lab-protocol";
import { boxes, filler, keysOf, labWork, numberInput, startStop } from "./lab";
import { wideTable } from "./lab-table";
import { described } from "./lab-words";

const UNIT = "trajectories";

export function racePart(app: App, { race: given, racers }: LabOptions): HTMLElement {
  const objectives = boxes("Who races", described(racers), given.objectives);
  const source = select(
    [
      ["logs", "logs, written before"],
      ["rollouts", "their own fresh answers"],
    ],
    given.source,
  );
  const inputs = {
    actions: numberInput("actions", given.actions, { min: 2, max: 8, step: 1 }),
    horizon: numberInput("horizon", given.horizon, { min: 1, max: 10, step: 1 }),
    beta: numberInput("beta", given.beta, { min: 0.01, step: "any" }),
    steps: numberInput("steps", given.steps, { min: 10, max: 5000, step: 1 }),
    seed: numberInput("seed", given.seed, { min: 0, step: 1 }),
  };
  const start = h("button", { type: "submit", class: "primary", text: "Start the race" });
  const buttons = startStop(app, "race", start);
  const bar = h("progress", { max: 1, value: 0, hidden: true, "aria-label": "Progress of the race" });
  const about = h("p", { class: "muted", role: "status" });
  const keys = h("ul", { class: "keys" });
  const logs = { log: true, smoothing: 0 };
  const plain = { log: false, smoothing: 0 };
  const kl = new Chart(
    "KL(π ‖ π*)",
    "how far each policy is from the best one; 0 is there; logarithmic",
    logs,
    "race",
    UNIT,
  );
  const values = new Chart(
    "V₁ against log Z",
    "what TBRM thinks the prompt is worth, and what it is worth exactly",
    plain,
    "race",
    UNIT,
  );
  const rewards = new Chart("expected reward", "of each policy, and of π*", plain, "race", UNIT);
  const charts = h(
    "div",
    {},
    h("div", { class: "charts one" }, kl.root),
    h("div", { class: "charts below" }, values.root, rewards.root),
  );
  const result = h("div", { "aria-live": "polite" });

  const form = h(
    "form",
    { novalidate: true, onsubmit: race },
    objectives.root,
    h(
      "div",
      { class: "fields" },
      field("tbrm, brm and tba learn from", source, "Policy gradients can only learn from fresh answers."),
      field("tokens to choose from", inputs.actions, "In every step of the tree."),
      field("horizon", inputs.horizon, "Tokens of a sequence; at most 1,024 sequences in all."),
      field("beta", inputs.beta, "How close to the start π* stays; smaller is bolder, and harder to reach."),
      field("steps", inputs.steps, `Of ${given.batch} trajectories each.`),
      field("seed", inputs.seed, "Another seed: other rewards, weights and draws."),
    ),
    buttons.root,
  );

  function asked(): RaceConfig {
    const numbers = Object.entries(inputs).map(([name, input]) => [name, input.valueAsNumber]);
    return {
      ...given,
      ...Object.fromEntries(numbers),
      objectives: objectives.values(),
      source: source.value as RaceConfig["source"],
    };
  }

  async function race(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    if (start.disabled || !Object.values(inputs).every((input) => input.reportValidity())) return;
    app.lab.race = new RaceState();
    await labWork(app, "race", () => app.client.request("lab_race", { config: asked() }));
  }

  const fillKeys = filler(keys);
  const fillResult = filler(result);
  function draw(): void {
    const now = app.lab.race;
    buttons.update();
    bar.hidden = app.lab.working !== "race";
    bar.value = now.share;
    charts.hidden = now.racers.length === 0;
    const curves = now.curves("kl");
    fillKeys(now.racers, () =>
      keysOf(now.racers.map(({ objective }, colour) => ({ label: objective, colour }))),
    );
    kl.set(curves);
    values.set([...now.curves("v1", (racer) => racer.values), ...now.line("log Z", now.logZ)]);
    rewards.set([...now.curves("reward"), ...now.line("π*", now.reward)]);
    const said =
      now.racers.length === 0
        ? ""
        : `${count(now.trajectories)} sequences, each with its reward. KL(π ‖ π*) says how far a policy still is from π*: lower is closer, and 0 is there. V₁ should become log Z, which is ${short(now.logZ)}.`;
    if (about.textContent !== said) about.textContent = said;
    fillResult(now.out.size > 0 ? `${[...now.out.keys()]} ${now.standings.length}` : now.standings, () =>
      outcome(now),
    );
  }

  app.on("lab", () => redraw(draw));
  for (const topic of ["state", "boot"] as const) app.on(topic, () => redraw(buttons.update));
  draw();
  return h(
    "section",
    { class: "race", "aria-label": "Race to the optimum" },
    h("p", {
      class: "lead",
      text: "A tiny transformer learns a problem of a few dozen token sequences, each with a reward, so its best policy π* can be written down. Every objective starts from the same weights and sees equally many sequences; watch how close each comes.",
    }),
    form,
    bar,
    about,
    keys,
    charts,
    result,
  );
}

/** The end: tables. */
function outcome(now: RaceState): (HTMLElement | false)[] {
  const out = [...now.out].map(([who, why]) => h("p", { class: "bad", text: `${who} is out: ${why}.` }));
  if (now.standings.length === 0) return out;
  const rows = now.standings.map((standing) => {
    const racer = now.racers.find(({ objective }) => objective === standing.objective);
    return h(
      "tr",
      {},
      h("th", { scope: "row", text: standing.objective }),
      h("td", { text: racer?.source === "logs" ? "logs" : "own answers" }),
      h("td", { class: "number", text: short(standing.first_kl) }),
      h("td", { class: "number", text: short(standing.last_kl) }),
      h("td", { class: "number", text: short(standing.reward) }),
      h("td", { class: "number", text: racer?.values ? short(standing.v1) : "–" }),
    );
  });
  const head = ["objective", "learns from", "KL at the start", "at the end", "expected reward", "V₁"];
  const optimum = h(
    "tr",
    { class: "muted" },
    h("th", { scope: "row", text: "π*" }),
    h("td"),
    h("td"),
    h("td", { class: "number", text: "0" }),
    h("td", { class: "number", text: short(now.reward) }),
    h("td", { class: "number", text: `${short(now.logZ)} = log Z` }),
  );
  const others = now.racers.filter(({ exact }) => !exact).map(({ objective }) => objective);
  return [
    ...out,
    h("h2", { text: "Where they ended" }),
    wideTable(head, [...rows, optimum]),
    others.length > 0 &&
      h("p", {
        class: "help",
        text: `${others.join(" and ")} has another optimum than π*: it divides advantages by the group’s spread and so follows the reward further than beta says.`,
      }),
    h("h2", { text: "The likeliest sequences under π*" }),
    wideTable(
      ["sequence", "reward", "at the start", "π*", ...now.racers.map(({ objective }) => objective)],
      now.likeliest.map(({ actions, reward, reference, optimal, policies }) =>
        h(
          "tr",
          {},
          h("th", { scope: "row", text: actions.join(" ") }),
          ...[short(reward), percent(reference), percent(optimal), ...policies.map(percent)].map((text) =>
            h("td", { class: "number", text }),
          ),
        ),
      ),
    ),
  ];
}
