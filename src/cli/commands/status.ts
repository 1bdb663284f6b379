import { Command } from 'commander'
import { setTimeout } from 'node:timers/promises'
import type { ControlClient } from '../../api/client.js'
import type { GatewayStatus } from '../../api/types.js'
import { TsnatError } from '../../errors.js'
import { clientFor, examples, instanceOptions, wholeNumber } from '../options.js'
import type { InstanceOptions } from '../options.js'
import { statusText } from '../status-text.js'
import { write } from '../terminal.js'
import type { Terminal } from '../terminal.js'

interface StatusOptions extends InstanceOptions {
  /** true when given without a number. */
  wait?: number | true
}

/** Seconds that `--wait` waits when it is given none. */
const WAIT = 30

/** Codes of errors that pass while an instance comes up. */
const PASSING: ReadonlySet<string> = new Set(['NOT_RUNNING', 'STARTING', 'CONTROL_LOST'])

const waitUntilReady = async (client: ControlClient, seconds: number): Promise<GatewayStatus> => {
  const deadline = performance.now() + seconds * 1000
  let latest = ''
  for (;;) {
    try {
      const status = await client.status()
      if (status.state === 'ready') return status
      latest = `it is ${[status.state, ...status.reasons].join(': ')}`
    } catch (error) {
      if (!(error instanceof TsnatError) || !PASSING.has(error.code)) throw error
      latest = error.message
    }
    if (performance.now() >= deadline) {
      throw new TsnatError(`instance "${client.name}" was not ready after ${seconds} s: ${latest}`, {
        code: 'NOT_READY',
        hint: 'see "tsnat status" for its state, and its log',
      })
    }
    await setTimeout(50)
  }
}

/** `tsnat status` */
export const statusCommand = (terminal: Terminal): Command =>
  examples(
    instanceOptions(new Command('status'))
      .description('show a running gateway: interfaces, addresses, flows, drops')
      .option('--wait [seconds]', `wait until packets flow, at most so long (${WAIT})`, wholeNumber(0, 86_400))
      .action(async (options: StatusOptions) => {
        const client = clientFor(options)
        const { wait, json } = options
        const status = wait === undefined ? await client.status() : await waitUntilReady(client, wait === true ? WAIT : wait)
        await write(terminal.out, json === true ? `${JSON.stringify(status, null, 2)}\n` : statusText(status, terminal.out))
      }),
    [
      ['tsnat status', 'the instance "default"'],
      ['tsnat status --wait 10 && curl …', 'go on as soon as packets flow'],
      ['tsnat status --json | jq .flows', 'for programs'],
    ],
  )
