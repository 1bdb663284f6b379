import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

let found: string | undefined

/** Looks upwards for the package.json of tsnat: from src/ in tests, from dist/ or dist/chunks/ when built. */
const read = (): string => {
  let folder = dirname(fileURLToPath(import.meta.url))
  for (;;) {
    try {
      const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { name?: string; version?: string }
      if (name === 'tsnat' && version !== undefined) return version
    } catch {
      // No package.json here.
    }
    const parent = dirname(folder)
    if (parent === folder) return 'unknown'
    folder = parent
  }
}

/** Version of this package, from its package.json. */
export const version = (): string => (found ??= read())
