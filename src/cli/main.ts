#!/usr/bin/env node
/** Entry of the command line; becomes dist/cli.js. */
import { runCommand } from './program.js'

let outputNeeded = true
// A reader that went away (`tsnat conntrack -L | head`) is no error; a gateway goes on without its output.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  if (outputNeeded) process.exit()
})

const exitCode = await runCommand(process.argv.slice(2), {
  out: process.stdout,
  err: process.stderr,
  keepWithoutOutput: () => {
    outputNeeded = false
  },
})
// On Linux writes to standard output are synchronous: nothing is cut off.
process.exit(exitCode)
