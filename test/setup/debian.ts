import { execFile } from 'node:child_process';
import { access, constants, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

const INSTALL_MS = 110_000;
const PATIENCE_S = 100;

/**
 * Locked while something is installed. Two tests may install at once, and while `apt-get install` can wait for another
 * one, `apt-get update` cannot.
 */
const LISTS = '/var/lib/apt/lists';

/** With these the packages of services start them, now and at every boot. */
const STARTERS = ['invoke-rc.d', 'update-rc.d', 'deb-systemd-invoke', 'deb-systemd-helper'];
const SYSTEM_PATH = '/usr/sbin:/usr/bin:/sbin:/bin';

export interface Program {
  /** What it is called where it is on the PATH, and where else it may be. */
  names: readonly string[];
  /** The package of Debian that brings it. */
  package: string;
  /** Whether it is a service there, which must not start. */
  isService?: boolean;
  /** What to do about it where it cannot be installed. */
  help: string;
}

/** Where a program is; as root on Debian it is installed if it is missing. */
export async function findProgram(program: Program): Promise<string> {
  const { names, help } = program;
  const found = (await find(names)) ?? ((await canInstall()) ? await install(program) : undefined);
  if (found === undefined) throw new Error(help);
  return found;
}

async function canInstall(): Promise<boolean> {
  return process.getuid?.() === 0 && (await find(['apt-get'])) !== undefined;
}

async function install(program: Program): Promise<string | undefined> {
  const { names, package: name, isService = false, help } = program;
  // What scripts of packages find there before the real ones does nothing.
  const idle = await mkdtemp(join(tmpdir(), 'indelible-test-'));
  try {
    for (const starter of isService ? STARTERS : []) await symlink('/bin/true', join(idle, starter));
    await aptGet('update');
    const path = ['-o', `DPkg::Path=${idle}:${SYSTEM_PATH}`];
    await aptGet('install', '-y', '--no-install-recommends', ...path, name);
  } catch (error) {
    throw new Error(`${help} (Installing ${name} failed.)`, { cause: error });
  } finally {
    await rm(idle, { recursive: true, force: true });
  }
  return find(names);
}

async function aptGet(...args: string[]): Promise<void> {
  const options = ['-qq', '-o', `DPkg::Lock::Timeout=${PATIENCE_S}`];
  await run('flock', ['--wait', `${PATIENCE_S}`, LISTS, 'apt-get', ...options, ...args], {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    timeout: INSTALL_MS,
  });
}

async function find(names: readonly string[]): Promise<string | undefined> {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  // A name that is a path already stays what it is.
  for (const path of names.flatMap((name) => folders.map((folder) => resolve(folder, name)))) {
    if (await isExecutable(path)) return path;
  }
  return undefined;
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
