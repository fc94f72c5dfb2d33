import { format } from 'prettier';
import { repositoryFiles } from './repository.ts';

const line = (cells: string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;

/** A Markdown table as the formatter leaves it. */
export async function markdownTable(head: string[], rows: string[][]): Promise<string> {
  const lines = [line(head), line(head.map(() => '---')), ...rows.map(line)];
  return (await format(lines.join('\n'), { parser: 'markdown' })).trim();
}

/** What stands in README.md between `<!-- name -->` and `<!-- /name -->`. */
export function readmeBlock(name: string): string {
  const readme = repositoryFiles().get('README.md') ?? '';
  const [, block] = readme.split(new RegExp(`<!-- /?${name} -->`));
  if (block === undefined) throw new Error(`README.md has no <!-- ${name} --> … <!-- /${name} -->`);
  return block.trim();
}

/** To be shown when a block is not what it should be: whoever reads it can paste it. */
export function pasteInto(name: string, block: string): string {
  return `in README.md, put this between <!-- ${name} --> and <!-- /${name} -->:\n\n${block}\n`;
}
