import { short, table } from './report.ts';

/** What is compared: the first of these ratios that a row has, since the floor cannot do everything. */
const RATIOS = ['ours / floor', 'ours / stock'];

interface Ratio {
  /** As `J6: pairs`. */
  name: string;
  figure: string;
  ratio: number;
}

/** A run beside another one, both as they stand in RESULTS.md; other machines differ less in ratios than in times. */
export function compare(before: string, now: string): string {
  const others = ratiosIn(before);
  const rows = ratiosIn(now).map(({ name, figure, ratio }) => {
    const other = others.find((row) => row.name === name && row.figure === figure)?.ratio ?? NaN;
    return [name, figure].concat([other, ratio, ratio / other].map(short));
  });
  return table(['', 'ours / floor, or / stock', 'RESULTS.md', 'this run', 'this run / RESULTS.md'], rows);
}

function ratiosIn(results: string): Ratio[] {
  const ratios: Ratio[] = [];
  let name = '';
  let columns: number[] = [];
  for (const line of results.split('\n')) {
    const [, heading] = /^## (\w+: [^:]+)/.exec(line) ?? [];
    if (heading !== undefined) [name, columns] = [heading, []];
    if (!line.startsWith('|')) continue;
    const cells = line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim());
    const found = RATIOS.map((ratio) => cells.indexOf(ratio)).filter((column) => column !== -1);
    if (found.length > 0) columns = found;
    const ratio = columns.map((column) => numberIn(cells[column])).find(Number.isFinite);
    if (ratio !== undefined) ratios.push({ name, figure: cells[0] ?? '', ratio });
  }
  return ratios;
}

function numberIn(cell = ''): number {
  return cell === '' ? NaN : Number(cell.replaceAll(',', ''));
}
