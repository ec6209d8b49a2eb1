// Two methods of the reader's choice. All comparisons were made when the page was written.

const points = (value) => (value === null ? "" : (value > 0 ? "+" : "") + (100 * value).toFixed(2));
const percent = (value) => (value === null ? "" : (100 * value).toFixed(2));
const probability = (value) => (value === null ? "" : value < 0.001 ? "<0.001" : value.toFixed(3));

function turned(result) {
  const other = { "A is better": "B is better", "B is better": "A is better" };
  const minus = (value) => (value === null ? null : -value);
  return {
    ...result, mean_a: result.mean_b, mean_b: result.mean_a, difference: minus(result.difference), effect_size: minus(result.effect_size),
    ci95: result.ci95 && [-result.ci95[1], -result.ci95[0]], verdict: other[result.verdict] ?? result.verdict,
  };
}

function makeComparison(found, isTurned) {
  if (found.error) return [make("p", { class: "warning" }, found.error)];
  const [a, b] = isTurned ? [found.b.name, found.a.name] : [found.a.name, found.b.name];
  const named = (verdict) => ({ "A is better": `${a} is better`, "B is better": `${b} is better` })[verdict] ?? verdict;
  const line = ([name, pair]) => {
    const result = isTurned ? turned(pair) : pair;
    return [
      name, String(result.pairs), percent(result.mean_a), percent(result.mean_b), points(result.difference),
      result.ci95 ? `${points(result.ci95[0])} to ${points(result.ci95[1])}` : "",
      probability(result.p_value), probability(result.p_adjusted), result.effect_size === null ? "" : result.effect_size.toFixed(2), named(result.verdict),
    ];
  };
  const head = ["Shift", "Pairs", `${a}, %`, `${b}, %`, "Difference", "95 % interval", "p", "p (Holm)", "Effect size", "Verdict"];
  const lines = [...Object.entries(found.shifts), ["all shifts", found.overall]].map(line);
  const differs = found.differs.map((each) => `Differs: ${each.condition}, ${found.a.name}: ${each.a}, ${found.b.name}: ${each.b}.`);
  return [
    make("p", { class: "verdict" }, found.sentence),
    makeTable(head, lines, `${a} against ${b}`),
    make("p", { class: "quiet" }, `Difference: ${a} minus ${b} in percentage points, mean over pairs of equal shift and seed. p: exact sign-flip test, by Holm's method over the shifts. Effect size: mean difference in standard deviations of the differences.`),
    make("ul", { class: "notes" }, ...[...differs, ...found.notes].map((note) => make("li", {}, note))),
  ];
}

function setUpContests() {
  const contests = JSON.parse(find("#contests").textContent);
  const place = find("#contest");
  if (!contests.length) {
    place.append(make("p", {}, "There are no two methods to compare."));
    return;
  }
  const selects = ["Of", "Method", "Against"].map((label) => make("select", { "aria-label": label }));
  const [which, first, second] = selects;
  const labelled = ["Of", "Method", "Against"].map((label, index) => make("label", {}, label, selects[index]));
  const result = make("div", { "aria-live": "polite" });
  const fill = (select, names, chosen) => {
    select.replaceChildren(...names.map((name, index) => make("option", { value: index }, name)));
    select.value = chosen;
  };
  const show = () => {
    const { names, results, command } = contests[which.value];
    const [i, j] = [Number(first.value), Number(second.value)];
    if (!results.length) {
      result.replaceChildren(make("p", {}, `${names.length} methods make too many pairs for this page. For any two of them: `), makeCommand(command));
    } else if (i === j) {
      result.replaceChildren(make("p", {}, "Choose two different methods."));
    } else {
      const [low, high] = [Math.min(i, j), Math.max(i, j)];
      const before = (low * (2 * names.length - low - 1)) / 2; // pairs whose first is earlier
      result.replaceChildren(...makeComparison(results[before + high - low - 1], i > j));
    }
  };
  const choose = () => {
    const { names } = contests[which.value];
    fill(first, names, 0);
    fill(second, names, 1);
    show();
  };
  fill(which, contests.map((contest) => contest.title), 0);
  which.addEventListener("change", choose);
  first.addEventListener("change", show);
  second.addEventListener("change", show);
  place.append(make("div", { class: "row" }, ...labelled.slice(contests.length > 1 ? 0 : 1)), result);
  choose();
}
