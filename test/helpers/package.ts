import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, readdir, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { atTestEnd } from './cleanup.ts';

const ROOT = join(import.meta.dirname, '../..');
const run = promisify(execFile);

/** What the copy of the repository has no use for. */
const NOT_COPIED = new Set(['.git', 'node_modules', 'data', 'dist', 'artefacts']);

interface Manifest {
  dependencies?: Record<string, string>;
  peerDependencies?: Record<string, string>;
}

/** The package as npm would publish it, installed in a project of its own, without the network. */
export interface InstalledPackage {
  /** The project that uses it. */
  project: string;
  /** Where it is installed. */
  directory: string;
  /** Its files, by path. */
  files: string[];
}

/**
 * @param others - packages that the project has installed by itself
 */
export async function installPackage(others: string[]): Promise<InstalledPackage> {
  const temp = await mkdtemp(join(tmpdir(), 'indelible-test-'));
  atTestEnd(() => rm(temp, { recursive: true, force: true }));
  const tarball = await pack(await copyRepository(join(temp, 'repository')), temp);
  const project = join(temp, 'project');
  const directory = join(project, 'node_modules/indelible');
  await mkdir(directory, { recursive: true });
  await run('tar', ['-xzf', tarball, '-C', directory, '--strip-components=1']);
  const { dependencies = {} } = await readManifest(directory);
  await linkAll(join(project, 'node_modules'), [...Object.keys(dependencies), ...others]);
  return { project, directory, files: await filesBelow(directory) };
}

/** A copy to build in, so that nothing appears in the tree that others work in. */
async function copyRepository(copy: string): Promise<string> {
  const entries = await readdir(ROOT);
  await mkdir(copy);
  for (const entry of entries.filter((name) => !NOT_COPIED.has(name))) {
    await cp(join(ROOT, entry), join(copy, entry), {
      recursive: true,
      filter: (path) => !NOT_COPIED.has(path.split('/').at(-1) ?? ''),
    });
  }
  await symlink(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  return copy;
}

/** `npm pack`, which builds first, as `npm publish` does. */
async function pack(directory: string, temp: string): Promise<string> {
  const env = {
    PATH: `${dirname(process.execPath)}:${process.env['PATH']}`,
    HOME: temp,
    npm_config_cache: join(temp, 'npm-cache'),
    npm_config_offline: 'true',
    npm_config_update_notifier: 'false',
  };
  await run('npm', ['pack', '--pack-destination', temp], { cwd: directory, env });
  const tarball = (await readdir(temp)).find((name) => name.endsWith('.tgz'));
  if (tarball === undefined) throw new Error('npm pack made no tarball');
  return join(temp, tarball);
}

/** Links packages and what they depend on. They find their own dependencies from where they really are. */
async function linkAll(nodeModules: string, names: string[]): Promise<void> {
  for (const name of new Set(names)) {
    const link = join(nodeModules, name);
    await mkdir(dirname(link), { recursive: true });
    await symlink(join(ROOT, 'node_modules', name), link);
  }
}

async function readManifest(directory: string): Promise<Manifest> {
  return JSON.parse(await readFile(join(directory, 'package.json'), 'utf8')) as Manifest;
}

async function filesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return files.map(({ parentPath, name }) => join(parentPath, name).slice(directory.length + 1)).toSorted();
}
