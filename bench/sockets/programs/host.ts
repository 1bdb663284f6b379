/**
 * A host of the benchmark: servers, a relay, and clients at command, on the kernel's sockets or on those of the stack. The same code on
 * both.
 *
 *   node host.mjs OPTIONS-AS-JSON
 *
 * Prints "ready" when all ports are open. Each line of standard input is a command with its arguments; its answer is a line of JSON,
 * preceded by the command's number, counted from 1.
 */
import { createInterface } from 'node:readline'
import { type AloneOptions, openAlone } from './alone.js'
import { kernelSockets } from './api.js'
import type { Sockets } from './api.js'
import { commands } from './commands.js'
import { openGateway } from './gateway.js'
import { serve } from './services.js'
import type { Services } from './services.js'

interface Options extends Services {
  /** Whose sockets: of a stack alone, of a gateway with this configuration, of the kernel when both are absent. */
  stack?: AloneOptions
  gateway?: object
  /** The relay's connections to the server are the kernel's in any case. */
  kernelOut?: boolean
}

const options = JSON.parse(process.argv[2] ?? '{}') as Options
const open = async ({ stack, gateway }: Options): Promise<Sockets> => {
  if (stack !== undefined) return openAlone(stack)
  return gateway === undefined ? kernelSockets : await openGateway(gateway)
}

const sockets = await open(options)
await serve(sockets, options.kernelOut === true ? kernelSockets : sockets, options)
console.log('ready')

let number = 0
const known = commands(sockets)
createInterface({ input: process.stdin }).on('line', (line) => {
  const [name = '', ...words] = line.split(' ')
  const answerTo = ++number
  const run = async (): Promise<void> => { console.log(`${answerTo} ${JSON.stringify(await known[name]!(words))}`) }
  void run()
})
