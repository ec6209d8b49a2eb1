// What a reader sees of one run once it is opened.

function makeCommand(text) {
  const options = text.split(/ (?=--)/); // a line must not end between -- and a name
  const code = make("code", {}, ...options.flatMap((option, place) => [place ? " " : "", make("span", {}, option)]));
  const button = make("button", { type: "button", class: "copy" }, "Copy");
  button.addEventListener("click", async () => {
    getSelection().selectAllChildren(code);
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Selected";
    }
  });
  return make("div", { class: "command" }, code, button);
}

function makeFacts(pairs) {
  return make("dl", { class: "facts" }, ...pairs.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

function makePictures(pictures) {
  return pictures.map((picture) => {
    if (picture.error) return make("p", { class: "quiet" }, picture.error);
    const { name, src, width, height } = picture;
    return make("figure", {}, make("figcaption", {}, name), make("img", { src, width, height, alt: `Picture of this run: ${name}` }));
  });
}

async function openRun(run) {
  const number = run.id.split("-")[1];
  const core = await part("core", number);
  const body = make("div", { class: "body" });
  run.append(body);
  if (!core) {
    body.append(make("p", {}, "The record of this run cannot be read, so this is all there is to say."));
    return;
  }
  const log = await part("log", number);
  const pictures = await part("pictures", number);
  const left = (what) => make("p", { class: "quiet" }, `To keep the page small it has no ${what} of this run. To see them: `, make("code", {}, core.more));
  const section = (title, ...children) => body.append(make("h4", {}, title), ...children);
  body.append(makeFacts(core.facts));
  section("Run it again", makeCommand(core.command), ...core.cautions.map((text) => make("p", { class: "quiet" }, text)));
  if (core.stages.length) section("Stages", makeTable(["Stage", "Steps", "Wall time", "Ended by", "Its own network, %"], core.stages, "Stages"));
  if (core.scores.lines.length) {
    section("Checkpoints", make("p", { class: "quiet" }, "On the target's test images, in per cent. No rule but the oracle looks at these figures."),
      makeTable(core.scores.head, core.scores.lines, "Checkpoints"));
  }
  if (core.unreadable) section("Confusion matrix", make("p", { class: "warning" }, core.unreadable));
  const matrices = log ? log.matrices : core.matrices;
  if (matrices.length) section("Confusion matrix", ...makeMatrices(matrices));
  if (!log) section("Curves", left("curves"));
  else section("Curves", ...makeCurves(log), ...(log.note ? [make("p", { class: "quiet" }, log.note)] : []));
  if (!pictures && core.folder) section("Pictures", left("pictures"));
  else if (pictures?.length) section("Pictures", make("div", { class: "pictures" }, ...makePictures(pictures)));
  body.append(makeDetails("Configuration", makeFacts(core.config)), makeDetails("Environment", makeFacts(core.environment)));
}
