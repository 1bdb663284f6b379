// Bundles the cases with the code they measure into one scope, as the build does with the worker.
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'rolldown'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/** Builds the bundle; returns its path. */
export const bundle = async () => {
  const file = join(root, 'node_modules', '.cache', 'tsnat-bench', 'hot.mjs')
  await build({
    cwd: root,
    input: 'bench/hot/cases/index.ts',
    platform: 'node',
    external: [/^node:/],
    resolve: { extensionAlias: { '.js': ['.ts', '.js'] } },
    output: { file, format: 'esm', sourcemap: true },
    logLevel: 'warn',
  })
  return file
}

/** The cases, ready to run. */
export const cases = async () => await import(pathToFileURL(await bundle()).href)
