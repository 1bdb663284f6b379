// npm test: builds everything, checks types and style, runs all tests with coverage, and sees that nothing is left behind.
// The exit code is 0 only when all of it went well.
import { spawn } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { installMissing } from './test/programs.mjs'
import { hostState, leftBehind, mark } from './test/leftovers.mjs'
import { resultsFile, root } from './test/paths.mjs'
import { whyNoNamespaces } from './test/privilege.mjs'

const MINUTES = 14

const say = (text) => console.log(`\n\x1b[1m== ${text}\x1b[0m`)
const failures = []

/** Runs a program of node_modules or this folder. @returns why it did not go well, or null; what it printed, unless it is shown at once */
const run = (show, script, args) => new Promise((resolve) => {
  const env = { ...process.env, [mark.name]: mark.value }
  const child = spawn(process.execPath, [script, ...args], { cwd: root, stdio: show ? 'inherit' : ['ignore', 'pipe', 'pipe'], env })
  let printed = ''
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (text) => { printed += text })
  let isLate = false
  const limit = setTimeout(() => { isLate = child.kill() }, MINUTES * 60_000)
  child.on('close', (code, signal) => {
    clearTimeout(limit)
    resolve({ failure: isLate ? `not done in ${MINUTES} minutes` : code === 0 ? null : signal ?? `exit code ${code}`, printed })
  })
})

/** Runs programs side by side; notes which fail. Returns whether all went well. @param programs title, script and arguments of each */
const steps = async (...programs) => {
  say(programs.map(([title]) => title).join(', '))
  const started = Date.now()
  const results = await Promise.all(programs.map(([, script, ...args]) => run(programs.length === 1, script, args)))
  for (const [index, { failure, printed }] of results.entries()) {
    process.stdout.write(printed)
    if (failure !== null) failures.push(`${programs[index][0]}: ${failure}`)
  }
  console.log(`   done in ${((Date.now() - started) / 1000).toFixed(1)} s`)
  return results.every(({ failure }) => failure === null)
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
if (await steps(['build', 'scripts/build.mjs'])) {
  await steps(['types', 'node_modules/typescript/bin/tsc', '--noEmit'], ['lint', 'node_modules/eslint/bin/eslint.js', '.'])
  const only = reason === null ? [] : ['--project', 'unit']
  await steps(['tests', 'node_modules/vitest/vitest.mjs', 'run', '--coverage', '--reporter=default', '--reporter=json', `--outputFile.json=${resultsFile}`, ...only])

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
