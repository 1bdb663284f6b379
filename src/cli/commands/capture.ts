import { Command, Option } from 'commander'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { finished } from 'node:stream/promises'
import type { CaptureSide } from '../../api/types.js'
import { TsnatError } from '../../errors.js'
import { fileReason } from '../../file-reason.js'
import { clientFor, examples, instanceOptions, usageError, wholeNumber } from '../options.js'
import type { InstanceOptions } from '../options.js'
import { createPcapngCounter } from '../pcapng-count.js'
import { write } from '../terminal.js'
import type { Terminal, TerminalStream } from '../terminal.js'

interface CaptureOptions extends InstanceOptions {
  write: string
  interface: CaptureSide
  snaplen: number
  count: number
}

const fileError = (path: string, cause: unknown): TsnatError =>
  new TsnatError(`cannot write the capture to ${path}: ${fileReason(cause)}`, {
    code: 'CAPTURE_FILE',
    hint: 'choose another file with -w, or "-" for standard output',
    cause,
  })

const openFile = async (path: string): Promise<TerminalStream> => {
  const file = createWriteStream(path, { mode: 0o600 })
  try {
    await once(file, 'open')
    return file
  } catch (error) {
    throw fileError(path, error)
  }
}

const run = async (options: CaptureOptions, terminal: Terminal): Promise<void> => {
  const toStandardOutput = options.write === '-'
  if (toStandardOutput && terminal.out.isTTY === true) {
    const hint = 'write to a file with -w FILE, or pipe it: tsnat capture -w - | tshark -i -'
    throw usageError('a capture is binary and standard output is a terminal', hint)
  }
  const abort = new AbortController()
  const end = (): void => abort.abort()
  process.once('SIGINT', end).once('SIGTERM', end)
  const counter = createPcapngCounter()
  try {
    const { interface: side, snaplen, count } = options
    const chunks = await clientFor(options).capture({ side, snaplen, count }, abort.signal)
    const output = toStandardOutput ? terminal.out : await openFile(options.write)
    const failed = new Promise<never>((_resolve, reject) => {
      if (!toStandardOutput) output.once('error', (error) => reject(fileError(options.write, error)))
    })
    failed.catch(end)
    for await (const chunk of chunks) {
      counter.feed(chunk)
      await Promise.race([write(output, chunk), failed])
    }
    if (!toStandardOutput) {
      output.end()
      await Promise.race([failed, finished(output)])
    }
  } finally {
    // Whatever ended it, the gateway shall not go on recording.
    end()
    process.off('SIGINT', end).off('SIGTERM', end)
  }
  const { packets, missed } = counter
  const summary = [
    `${packets} packet${packets === 1 ? '' : 's'} captured`,
    ...(missed === 0 ? [] : [`${missed} missed`]),
    ...(toStandardOutput ? [] : [`written to ${options.write}`]),
  ]
  terminal.err.write(options.json === true ? `${JSON.stringify({ packets, missed })}\n` : `${summary.join(', ')}\n`)
}

/** `tsnat capture` */
export const captureCommand = (terminal: Terminal): Command =>
  examples(
    instanceOptions(new Command('capture'))
      .description('record the packets of a running gateway as pcapng, until Ctrl-C')
      .requiredOption('-w, --write <file>', 'file to write; "-" for standard output')
      .addOption(new Option('-i, --interface <side>', 'which side').choices(['lan', 'wan', 'both']).default('both'))
      .addOption(new Option('-s, --snaplen <bytes>', 'bytes kept of each packet; 0 = all').default(0).argParser(wholeNumber(0, 65535)))
      .addOption(
        new Option('-c, --count <packets>', 'end after so many; 0 = never').default(0).argParser(wholeNumber(0, Number.MAX_SAFE_INTEGER)),
      )
      .action((options: CaptureOptions) => run(options, terminal)),
    [
      ['tsnat capture -w trace.pcapng', 'both sides, until Ctrl-C'],
      ['tsnat capture -i wan -c 100 -w wan.pcapng', '100 packets of the WAN side'],
      ['tsnat capture -w - | tshark -i -', 'look at once'],
    ],
  )
