/** Runs commands in this process, with streams that collect what they print. */
import { PassThrough, Readable } from 'node:stream'
import { runCommand } from '../../src/cli/program.js'

export interface Outcome {
  code: number
  out: string
  /** The same as bytes. */
  bytes: Buffer
  err: string
}

export const tsnat = (...args: string[]): Promise<Outcome> => tsnatWith('', ...args)

/** The same with something on standard input. */
export const tsnatWith = async (input: string, ...args: string[]): Promise<Outcome> => {
  const collect = () => {
    const stream = new PassThrough()
    const chunks: Buffer[] = []
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    return { stream, chunks }
  }
  const out = collect()
  const err = collect()
  const code = await runCommand(args, { out: out.stream, err: err.stream, in: Readable.from([Buffer.from(input)]), keepWithoutOutput: () => {} })
  out.stream.end()
  err.stream.end()
  await Promise.all([out.stream, err.stream].map((stream) => (stream.readableEnded ? undefined : new Promise((resolve) => stream.once('end', resolve)))))
  const bytes = Buffer.concat(out.chunks)
  return { code, out: bytes.toString(), bytes, err: Buffer.concat(err.chunks).toString() }
}
