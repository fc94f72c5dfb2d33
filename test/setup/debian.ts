import { execFile } from 'node:child_process';
import { access, constants, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * For all of it, waiting for others included: a browser is 100 MB, over any line. Less than a hook may take
 * (vitest.config.ts), so that it says what was missing.
 */
const INSTALL_MS = 280_000;

/**
 * Locked while something is installed: several processes may want to at once, most often the same thing. Who had to wait
 * for the lock finds it there.
 */
const LISTS = '/var/lib/apt/lists';
const SCRIPT = `
  for name in $NAMES; do command -v "$name" && exit; done
  apt-get $OPTIONS update && apt-get $OPTIONS -o DPkg::Path="$IDLE:$SYSTEM_PATH" install -y --no-install-recommends "$PACKAGE"
`;

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
    await run('flock', [LISTS, 'sh', '-c', SCRIPT], {
      env: {
        ...process.env,
        DEBIAN_FRONTEND: 'noninteractive',
        NAMES: names.join(' '),
        // Others than tests may be installing, too.
        OPTIONS: `-qq -o DPkg::Lock::Timeout=${INSTALL_MS / 1000}`,
        IDLE: idle,
        SYSTEM_PATH,
        PACKAGE: name,
      },
      timeout: INSTALL_MS,
    });
  } catch (error) {
    throw new Error(`${help} (Installing ${name} failed.)`, { cause: error });
  } finally {
    await rm(idle, { recursive: true, force: true });
  }
  return find(names);
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
