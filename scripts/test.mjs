// npm test: builds everything, checks types and style, runs all tests with coverage, and sees that nothing is left behind.
// The exit code is 0 only when all of it went well.
import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { installMissing } from './test/programs.mjs'
import { hostState, leftBehind, mark } from './test/leftovers.mjs'
import { resultsFile, root } from './test/paths.mjs'
import { whyNoNamespaces } from './test/privilege.mjs'

const MINUTES = 14

const say = (text) => console.log(`\n\x1b[1m== ${text}\x1b[0m`)
const failures = []

/** Runs a program of node_modules or this folder; notes when it fails. Returns whether it went well. */
const step = (title, script, ...args) => {
  say(title)
  const started = Date.now()
  const { status, signal, error } = spawnSync(process.execPath, [script, ...args], { cwd: root, stdio: 'inherit', timeout: MINUTES * 60_000, env: { ...process.env, [mark.name]: mark.value } })
  const seconds = ((Date.now() - started) / 1000).toFixed(1)
  if (status === 0) {
    console.log(`   done in ${seconds} s`)
    return true
  }
  failures.push(`${title}: ${error?.code === 'ETIMEDOUT' ? `not done in ${MINUTES} minutes` : signal ?? `exit code ${status}`}`)
  return false
}

rmSync(resultsFile, { force: true })
mkdirSync(dirname(resultsFile), { recursive: true })
// Tests call programs of the administrator's, too.
process.env.PATH = `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`

const reason = whyNoNamespaces()
if (reason === null) {
  say('programs that the tests need')
  const missing = installMissing()
  if (missing.length > 0) failures.push(`missing programs: ${missing.join(', ')}`)
}

const before = hostState()
if (step('build', 'scripts/build.mjs')) {
  step('types', 'node_modules/typescript/bin/tsc', '--noEmit')
  step('lint', 'node_modules/eslint/bin/eslint.js', '.')
  const only = reason === null ? [] : ['--project', 'unit']
  step('tests', 'node_modules/vitest/vitest.mjs', 'run', '--coverage', '--reporter=default', '--reporter=json', `--outputFile.json=${resultsFile}`, ...only)

  say('what is left behind')
  const left = await leftBehind(before)
  for (const each of left) console.log(`   ${each}`)
  if (left.length > 0) failures.push(`${left.length} things were left behind`)
  else console.log('   nothing')
}

if (reason !== null) {
  say('THE TESTS IN NETWORK NAMESPACES WERE NOT RUN')
  console.log(`   ${reason}. Packets through real kernels and programs (test/netns, test/interop) are thus untested here.`)
  if (process.env.CI === 'true') failures.push(`the tests in network namespaces were not run: ${reason}`)
}
say(failures.length === 0 ? 'all is well' : 'FAILED')
for (const each of failures) console.log(`   ${each}`)
process.exit(failures.length === 0 ? 0 : 1)
