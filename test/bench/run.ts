/*
 *     npm run bench [-- [--compare | --brief] [case …]]
 *
 * A case is called by its name or its rule. With `--compare` what it measures is printed beside RESULTS.md, and with `--brief` it is
 * only seen whether it runs; neither is written there.
 */
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { compare: { type: 'boolean' }, brief: { type: 'boolean' } },
});
const cases = positionals.join('|');
const only = cases === '' ? [] : ['-t', `^\\[(${cases})\\]|^\\[\\w+\\] (${cases}):`];
const { status } = spawnSync('vitest', ['run', '--config', 'test/bench/vitest.config.ts', ...only], {
  stdio: 'inherit',
  env: { ...process.env, COMPARE: values.compare ? '1' : '', BRIEF: values.brief ? '1' : '' },
});
process.exitCode = status ?? 1;
