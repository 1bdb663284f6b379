/** Where a command writes: standard output and error, or streams of a test. */
import type { Writable } from 'node:stream'
import { styleText } from 'node:util'

export type TerminalStream = Writable & { isTTY?: boolean }

export interface Terminal {
  readonly out: TerminalStream
  readonly err: TerminalStream
  /** Absent: standard input. */
  readonly in?: AsyncIterable<Uint8Array | string>
  /** Standard output going away shall not end this process (a running gateway). */
  keepWithoutOutput(): void
}

type Format = Parameters<typeof styleText>[0]

/** Coloured on a terminal, plain elsewhere; NO_COLOR and its like are honoured. */
export const paint = (stream: TerminalStream, format: Format, text: string): string => styleText(format, text, { stream })

/**
 * Writes and, when the stream is full, waits until it takes more. Errors are for whoever owns the stream: one that broke or
 * was closed takes everything.
 */
export const write = async (stream: TerminalStream, chunk: string | Uint8Array): Promise<void> => {
  if (stream.destroyed || stream.write(chunk)) return
  await new Promise<void>((resolve) => {
    const events = ['drain', 'close', 'error'] as const
    const done = (): void => {
      for (const event of events) stream.off(event, done)
      resolve()
    }
    for (const event of events) stream.on(event, done)
  })
}

/** Writes lines in pieces of about 64 KiB, no faster than the stream takes them. Returns how many there were. */
export const writeLines = async (stream: TerminalStream, lines: AsyncIterable<string> | Iterable<string>): Promise<number> => {
  let gathered = ''
  let count = 0
  for await (const line of lines) {
    gathered += `${line}\n`
    count++
    if (gathered.length < 65536) continue
    await write(stream, gathered)
    gathered = ''
  }
  if (gathered !== '') await write(stream, gathered)
  return count
}
