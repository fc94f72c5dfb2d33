import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { findProgram } from './debian.ts';

const isDebianAsRoot = process.getuid?.() === 0 && existsSync('/var/lib/apt/lists');

/** An apt-get that writes down what it is told, and brings a program. */
async function fakeAptGet(): Promise<{ program: string; log: string }> {
  const directory = await mkdtemp(join(tmpdir(), 'indelible-test-'));
  onTestFinished(() => rm(directory, { recursive: true }));
  const [bin, program, log] = ['bin', 'bin/program', 'log'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  await mkdir(bin);
  const install = `printf '#!/bin/sh' > '${program}' && chmod +x '${program}'`;
  const script = `#!/bin/sh\necho "$@" >> '${log}'\ncase "$*" in *' install '*) ${install};; esac\n`;
  await writeFile(join(bin, 'apt-get'), script);
  await chmod(join(bin, 'apt-get'), 0o755);
  vi.stubEnv('PATH', `${bin}:${process.env['PATH']}`);
  onTestFinished(() => void vi.unstubAllEnvs());
  return { program, log };
}

test.runIf(isDebianAsRoot)('[T20] what several want to install at once is installed once', async () => {
  const { program, log } = await fakeAptGet();
  const wanted = { names: ['no-such-program', program], package: 'a-package', help: '' };
  const found = await Promise.all([1, 2, 3].map(() => findProgram(wanted)));
  expect(found).toEqual([program, program, program]);
  expect((await readFile(log, 'utf8')).trim().split('\n')).toEqual([
    expect.stringMatching(/ update$/),
    expect.stringMatching(/ install .*a-package$/),
  ]);
});
