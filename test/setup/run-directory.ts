import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { bornAt, family, signal } from '../helpers/process-table.ts';

const run = promisify(execFile);

/*
 * One directory in the system's temp directory for each run of the suite. It holds the run's clusters, their mounts and logs, and in
 * `processes/` one file for every process that the run started, so that whoever finds the directory later can end
 * what is left of the run and remove it. Its name says whose it is:
 *
 *     indelible-test-<host>-<pid of the runner>-<birth of the runner>-<random>
 */

const PREFIX = `indelible-test-${hostname().replaceAll(/\W/g, '')}-`;

/** How long a process may take to obey its signal before it is killed. */
const OBEY_MS = 10_000;

interface Entry {
  born: string;
  endWith: NodeJS.Signals;
}

export async function createRunDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), `${PREFIX}${process.pid}-${bornAt(process.pid)}-`));
  // Postgres runs as another user when we are root and must get through to its own directory.
  await chmod(directory, 0o711);
  await mkdir(join(directory, 'processes'));
  return directory;
}

/** Writes a process down; `endWith` is the signal that ends it cleanly. */
export async function enterProcess(
  runDirectory: string,
  pid: number,
  endWith: NodeJS.Signals,
): Promise<void> {
  const born = bornAt(pid);
  if (born === undefined) return;
  await writeFile(entryPath(runDirectory, pid), JSON.stringify({ born, endWith } satisfies Entry));
}

export async function strikeProcess(runDirectory: string, pid: number): Promise<void> {
  await rm(entryPath(runDirectory, pid), { force: true });
}

/** Ends every process of the run that still lives and removes the directory. */
export async function sweepRun(runDirectory: string): Promise<void> {
  const pids = await readdir(join(runDirectory, 'processes')).catch(() => []);
  await Promise.all(pids.map((pid) => endProcess(runDirectory, Number(pid))));
  await unmountBelow(runDirectory);
  await rm(runDirectory, { recursive: true, force: true, maxRetries: 5 });
}

/** Unmounts every file system that a test has mounted below a directory; only on Linux is there any. */
export async function unmountBelow(directory: string): Promise<void> {
  const mounts = await readFile('/proc/self/mounts', 'utf8').catch(() => '');
  const points = mounts.split('\n').flatMap((line) => line.split(' ')[1] ?? []);
  // Lazily, since somebody who stands in one must not keep the directory from being removed.
  for (const point of points.filter((path) => path.startsWith(`${directory}/`)))
    await run('umount', ['--lazy', point]);
}

/** Sweeps the directories of runs on this host whose runner is dead. */
export async function sweepDeadRuns(): Promise<void> {
  const names = (await readdir(tmpdir())).filter((name) => name.startsWith(PREFIX));
  const dead = names.filter((name) => {
    const [pid, born] = name.slice(PREFIX.length).split('-');
    return bornAt(Number(pid)) !== born;
  });
  await Promise.all(dead.map((name) => sweepRun(join(tmpdir(), name))));
}

async function endProcess(runDirectory: string, pid: number): Promise<void> {
  const entry = JSON.parse(await readFile(entryPath(runDirectory, pid), 'utf8')) as Entry;
  const lives = () => bornAt(pid) === entry.born;
  if (!lives()) return;
  const members = family(pid);
  // A test may have frozen it, and a frozen process obeys nothing but SIGKILL.
  for (const member of members) signal(member, 'SIGCONT');
  signal(pid, entry.endWith);
  for (const started = Date.now(); lives() && Date.now() - started < OBEY_MS;) await sleep(20);
  if (lives()) for (const member of members) signal(member, 'SIGKILL');
}

function entryPath(runDirectory: string, pid: number): string {
  return join(runDirectory, 'processes', `${pid}`);
}
