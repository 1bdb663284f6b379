import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
/** What vitest's JSON reporter writes. */
export const resultsFile = join(root, 'node_modules', '.cache', 'tsnat-test', 'results.json')
