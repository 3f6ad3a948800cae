let bug = null;

export function initialize(planted) {
  bug = planted;
}

/** Replaces the bug's text in its file; fails loudly where the text is not there exactly once. */
export async function load(url, context, nextLoad) {
  const loaded = await nextLoad(url, context);
  if (bug === null || !new URL(url).pathname.endsWith(`/${bug.file}`)) return loaded;
  const source = String(loaded.source);
  const found = source.split(bug.find).length - 1;
  if (found !== 1) throw new RangeError(`the text to replace is ${found} times in ${bug.file}: ${bug.find}`);
  process.stderr.write(`planted: ${bug.name}\n`);
  return { ...loaded, source: source.replace(bug.find, () => bug.replace) };
}
