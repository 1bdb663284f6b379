// Writes docs/nat-behaviour.md and docs/socket-behaviour.md from the conformance rows and the names of their tests.
import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const vitest = join(root, 'node_modules/vitest/vitest.mjs')
const { status } = spawnSync(process.execPath, [vitest, 'run', '--project', 'unit', 'test/conformance/document.test.ts', '--update', '-t', 'is what the tests say'], { cwd: root, stdio: 'inherit' })
process.exitCode = status ?? 1
