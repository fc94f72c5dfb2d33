/** A metric where a query names it. */
interface Selector {
  /** As it is written: that of a histogram ends in `_bucket`, `_sum` or `_count`. */
  name: string;
  /** The labels that it is selected by. */
  labels: string[];
  /** Whether it is the range that `rate` or `increase` is taken of. */
  isRated: boolean;
}

interface Query {
  selectors: Selector[];
  /** The labels that it is aggregated by. */
  grouping: string[];
}

/** What `/metrics` says of a metric. */
export interface Metric {
  type: string;
  labels: ReadonlySet<string>;
}

/** What Prometheus adds to everything that it reads. */
const TARGET_LABELS = new Set(['instance', 'job']);
const OPERATORS = new Set(['and', 'or', 'unless', 'bool', 'offset']);
const GROUPING = /\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)/g;
/** A name, with what it is selected by, a range, and the parenthesis of a function; a unit of time is none. */
const NAME = /(?<![\w.])([a-zA-Z_:][\w:]*)(\{[^}]*\})?(\[[^\]]*\])?(\s*\()?/g;
const LABEL = /(\w+)\s*(?:=~|!~|!=|=)\s*"[^"]*"/g;

/** Reads as much of PromQL as the dashboard uses. */
function readQuery(query: string): Query {
  // A variable stands for a list of values.
  const ofInstance = /^label_values\((.+), (\w+)\)$/.exec(query);
  const text = ofInstance === null ? query : `count by (${ofInstance[2]}) (${ofInstance[1]})`;
  const grouping = Array.from(text.matchAll(GROUPING), ([, labels = '']) => namesIn(labels)).flat();
  const selectors: Selector[] = [];
  let callee = '';
  for (const [, name = '', matchers = '', range, parenthesis] of text
    .replaceAll(GROUPING, '')
    .matchAll(NAME)) {
    if (parenthesis !== undefined) callee = name;
    else if (!OPERATORS.has(name)) {
      const labels = Array.from(matchers.matchAll(LABEL), ([, label = '']) => label);
      selectors.push({ name, labels, isRated: range !== undefined && /^(?:rate|increase)$/.test(callee) });
    }
  }
  return { selectors, grouping };
}

function namesIn(list: string): string[] {
  return list.split(',').flatMap((name) => name.trim() || []);
}

/** What is wrong with a query, for a server that has these metrics. */
export function offencesOf(query: string, metrics: ReadonlyMap<string, Metric>): string[] {
  const { selectors, grouping } = readQuery(query);
  if (selectors.length === 0) return ['it names no metric'];
  const series = selectors.map(({ name }) => seriesOf(name, metrics));
  const grouped = new Set([...TARGET_LABELS, ...series.flatMap((found) => [...(found?.labels ?? [])])]);
  return [
    ...selectors.flatMap((selector, index) => offencesIn(selector, series[index])),
    ...grouping.filter((label) => !grouped.has(label)).map((label) => `by ${label}`),
  ];
}

function offencesIn({ name, labels, isRated }: Selector, series: Metric | undefined): string[] {
  if (series === undefined) return [`there is no ${name}`];
  const offences = labels
    .filter((label) => !series.labels.has(label) && !TARGET_LABELS.has(label))
    .map((label) => `${name} has no ${label}`);
  // What only grows says nothing by itself.
  if (isRated !== (series.type !== 'gauge')) offences.push(`${name} is a ${series.type}`);
  return offences;
}

/** What a name stands for; the series of a histogram have names of their own, and those of its buckets a label. */
function seriesOf(name: string, metrics: ReadonlyMap<string, Metric>): Metric | undefined {
  const metric = metrics.get(name);
  if (metric !== undefined) return metric.type === 'histogram' ? undefined : metric;
  const [, base = '', part] = /^(.*)_(bucket|sum|count)$/.exec(name) ?? [];
  const histogram = metrics.get(base);
  if (histogram?.type !== 'histogram') return undefined;
  return part === 'bucket' ? { ...histogram, labels: new Set([...histogram.labels, 'le']) } : histogram;
}
