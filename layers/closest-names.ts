/** Suggestions for a name that was not found. */

const MOST = 3;

/** The names most like `wanted`, best first, at most three; none if none is like it. */
function closestNames(wanted: string, names: readonly string[]): readonly string[] {
  const limit = Math.max(2, Math.floor(wanted.length / 3));
  return names
    .map((name) => ({ name, distance: distanceTo(wanted, name) }))
    .filter(({ distance }) => distance <= limit)
    .sort((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1))
    .slice(0, MOST)
    .map(({ name }) => name);
}

/** ", did you mean …" for the end of a message; "" if there is nothing to suggest. */
export function suggestion(wanted: string, names: readonly string[]): string {
  const closest = closestNames(wanted, names);
  return closest.length === 0 ? "" : `; did you mean ${closest.map((name) => `"${name}"`).join(" or ")}?`;
}

/** How far apart two names are: the edits between them, without a tag if that is less; 1 if one is a whole part of the other. */
function distanceTo(wanted: string, name: string): number {
  const isPart = name.split(/[/:]/).includes(wanted) || wanted.split(/[/:]/).includes(name);
  return isPart ? 1 : Math.min(editDistance(wanted, name), editDistance(wanted, name.replace(/:[^/]*$/, "")));
}

/** Levenshtein's distance. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(replaced, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    previous = row;
  }
  return previous[b.length] ?? 0;
}
