import { connect } from 'node:net';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { freePort } from './ports.ts';
import { bornAt } from './process-table.ts';
import { type RunningProcess, startNode, startProgram } from './processes.ts';

const LISTEN = `
  require('node:net').createServer().listen(process.env.PORT, '127.0.0.1', () => console.log('listens'));
  console.error('VITEST is ' + process.env.VITEST);
`;

let survivor: RunningProcess;

test('[T6] a free port is below the ephemeral ones, and a started program can be read, waited for and stopped', async () => {
  const port = await freePort();
  expect(port).toBeLessThan(32_768);
  const program = await startNode(['--eval', LISTEN], { env: { PORT: `${port}` } });
  await program.line(/^listens$/);
  await once(connect(port, '127.0.0.1'), 'connect');
  expect(await program.line(/^VITEST is (.*)$/)).toContain('undefined');
  expect({ stdout: program.stdout, stderr: program.stderr }).toEqual({
    stdout: ['listens'],
    stderr: ['VITEST is undefined'],
  });
  await expect(program.line(/never/, 50)).rejects.toThrow(/not within 50 ms/);
  expect(await program.kill('SIGTERM')).toEqual({ code: null, signal: 'SIGTERM' });
  await expect(program.line(/never/)).rejects.toThrow(/it exited with SIGTERM/);

  survivor = await startNode(['--eval', LISTEN], { env: { PORT: `${port}` } });
  await survivor.line(/^listens$/);
  survivor.signal('SIGSTOP');
});

test('[T6] a program that ends at once has been read, and waited for', async () => {
  const program = await startProgram('echo', ['at once']);
  expect(await program.exited).toEqual({ code: 0, signal: null });
  expect(program.stdout).toEqual(['at once']);
});

test('[T7] a started program does not outlive its test, even when it is stopped', async () => {
  expect(await survivor.exited).toEqual({ code: null, signal: 'SIGKILL' });
  expect(bornAt(survivor.pid)).toBeUndefined();
});
