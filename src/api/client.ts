/** The client's side of the control socket (server.ts). Every failure is a TsnatError that says what to do. */
import { request as httpRequest } from 'node:http'
import type { ClientRequest, IncomingMessage } from 'node:http'
import { ExitCode, TsnatError } from '../errors.js'
import { errorFromObject } from './error-object.js'
import type { ErrorObject } from './error-object.js'
import { filterQuery } from './filter.js'
import { defaultSocketPath, notRunning } from './instance.js'
import { redirectQuery } from './redirect.js'
import { openSocketStream, type SocketStream } from './socket-stream.js'
import { pingQuery, socketQuery } from './socket-request.js'
import type { PingLine, PingRequest, SocketInfo, SocketRequest } from './socket-types.js'
import { traceQuery, type TraceWords } from './trace-request.js'
import type { TraceLine, TraceRecord } from './trace-types.js'
import type { CaptureRequest, EventRequest, FlowEvent, FlowFilter, FlowRecord, GatewayControl, GatewayStatus, PolicyAnswer, PolicyRequest, RedirectLine, RedirectRequest } from './types.js'

export interface ControlClient {
  readonly name: string
  readonly path: string
  status(): Promise<GatewayStatus>
  /** Streams; the server produces no faster than the caller takes. */
  flows(filter: FlowFilter): AsyncIterable<FlowRecord>
  flowCount(): Promise<number>
  /** Deletes matching flows and streams their records. */
  deleteFlows(filter: FlowFilter): AsyncIterable<FlowRecord>
  /** Resolves when the gateway listens. Ends, with all that has happened by then, at `signal`, or when the gateway stops. */
  events(request: EventRequest, signal: AbortSignal): Promise<AsyncIterable<FlowEvent[]>>
  /** Resolves when the capture runs. Its stream ends, with all that was recorded by then, at `signal`, at the count, or when the gateway stops. */
  capture(request: CaptureRequest, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>
  /** @param words DESCRIPTION_WORDS of trace-request.ts */
  trace(words: TraceWords): Promise<TraceRecord>
  /** Resolves when the trace runs. Its stream ends as that of `events` does, and at the count. @param words FILTER_WORDS */
  traceLive(words: TraceWords, signal: AbortSignal): Promise<AsyncIterable<TraceLine[]>>
  /** Resolves when traffic is taken. Its stream ends, with nothing left of the redirector, at `signal`, or when the gateway stops. */
  redirect(request: RedirectRequest, signal: AbortSignal): Promise<AsyncIterable<RedirectLine[]>>
  /** Resolves when what the command changes is in effect. */
  policy(request: PolicyRequest): Promise<PolicyAnswer>
  /** The gateway's own sockets. */
  sockets(): AsyncIterable<SocketInfo>
  /** Opens a socket of the gateway's own. What becomes of it are its frames; it is closed with the stream. */
  openSocket(request: SocketRequest): Promise<SocketStream>
  /** Its stream ends as that of `events` does, and when all is done; the last line is a summary. */
  ping(request: PingRequest, signal: AbortSignal): Promise<AsyncIterable<PingLine[]>>
  metrics(): Promise<string>
  /** Resolves when the gateway has been told; it is gone when its pid is. */
  stop(): Promise<void>
}

const lost = (name: string, cause: unknown): TsnatError =>
  new TsnatError(`instance "${name}" closed the connection before its answer was complete`, {
    code: 'CONTROL_LOST',
    hint: 'it may have stopped: see "tsnat status" and its log',
    cause,
  })

const connectError = (name: string, path: string, error: unknown): TsnatError => {
  const { code } = error as NodeJS.ErrnoException
  if (error instanceof TsnatError) return error
  if (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ENOTDIR') return notRunning(name)
  if (code === 'EACCES' || code === 'EPERM') {
    return new TsnatError(`no permission to use the control socket ${path}`, {
      code: 'CONTROL_PERMISSION',
      hint: 'run this as the user that started the gateway, usually root (sudo tsnat …)',
      exitCode: ExitCode.permission,
      cause: error,
    })
  }
  if (code === 'ECONNRESET' || code === 'EPIPE') return lost(name, error)
  return new TsnatError(`cannot talk to the control socket ${path}: ${code ?? String(error)}`, {
    code: 'CONTROL_SOCKET',
    hint: 'choose the instance with --name or the path with --socket',
    cause: error,
  })
}

async function* body(name: string, response: IncomingMessage): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of response) yield chunk as Uint8Array
  } catch (error) {
    throw error instanceof TsnatError ? error : lost(name, error)
  }
}

const text = async (name: string, response: IncomingMessage): Promise<string> => {
  const chunks: Uint8Array[] = []
  for await (const chunk of body(name, response)) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

/** Lines, those of a chunk together. */
async function* lineBatches(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string[]> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of chunks) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = parts.pop() ?? ''
    yield parts
  }
  if (rest !== '') yield [rest]
}

async function* lines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  for await (const batch of lineBatches(chunks)) yield* batch
}

async function* jsonBatches<T>(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<T[]> {
  for await (const batch of lineBatches(chunks)) yield batch.map((line) => JSON.parse(line) as T)
}

/** The error that the server told, rebuilt. */
const told = (name: string, status: number | undefined, content: string): TsnatError => {
  try {
    return errorFromObject(JSON.parse(content) as ErrorObject)
  } catch {
    return new TsnatError(`instance "${name}" answered ${status}: ${content.slice(0, 200)}`, {
      code: 'CONTROL_ANSWER',
      hint: 'is the gateway of the same version as this command?',
    })
  }
}

/**
 * @param name of the instance
 * @param path of its control socket, when it is not the usual one
 * @param silence milliseconds without a byte after which the gateway counts as hung; a capture may be silent for ever
 */
export const createControlClient = (name: string, path: string = defaultSocketPath(name), silence = 15_000): ControlClient => {
  /** @param patience milliseconds; 0: any, and the body has no length beforehand */
  const exchange = async (method: string, target: string, patience: number, begin: (request: ClientRequest) => void): Promise<IncomingMessage> => {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const options = patience > 0 ? { timeout: patience } : { headers: { 'transfer-encoding': 'chunked' } }
      const request = httpRequest({ socketPath: path, method, path: target, agent: false, ...options }, resolve)
      request.on('timeout', () => {
        const hint = 'look at its log, or end it with "tsnat down"'
        request.destroy(new TsnatError(`instance "${name}" does not answer`, { code: 'CONTROL_SILENT', hint }))
      })
      request.on('error', (error) => reject(connectError(name, path, error)))
      begin(request)
    })
    if (response.statusCode !== undefined && response.statusCode < 300) return response
    throw told(name, response.statusCode, await text(name, response))
  }
  /**
   * @param signal ends the request, not the answer to it; the answer may be silent for as long as it takes
   * @param content of the request, JSON
   */
  const ask = (method: string, target: string, signal?: AbortSignal, content?: string): Promise<IncomingMessage> =>
    exchange(method, target, signal === undefined ? silence : 0, (request) => {
      if (signal === undefined || signal.aborted) {
        request.end(content)
      } else {
        request.flushHeaders()
        signal.addEventListener('abort', () => request.end(), { once: true })
      }
    })
  const json = async <T>(method: string, target: string, content?: string): Promise<T> =>
    JSON.parse(await text(name, await ask(method, target, undefined, content))) as T
  async function* list<T>(method: string, target: string): AsyncGenerator<T> {
    const response = await ask(method, target)
    for await (const line of lines(body(name, response))) yield JSON.parse(line) as T
  }
  const records = (method: string, filter: FlowFilter): AsyncGenerator<FlowRecord> => {
    const query = filterQuery(filter)
    return list(method, `/flows${query}${query === '' ? '?' : '&'}format=ndjson`)
  }
  return {
    name,
    path,
    status: () => json('GET', '/status'),
    flows: (filter) => records('GET', filter),
    flowCount: async () => (await json<{ count: ReturnType<GatewayControl['flowCount']> }>('GET', '/flows/count')).count,
    deleteFlows: (filter) => records('DELETE', filter),
    events: async ({ filter, types }, signal) => {
      const query = filterQuery(filter)
      return jsonBatches<FlowEvent>(body(name, await ask('GET', `/events${query}${query === '' ? '?' : '&'}types=${types.join(',')}`, signal)))
    },
    capture: async ({ side, snaplen, count }, signal) =>
      body(name, await ask('GET', `/capture?side=${side}&snaplen=${snaplen}&count=${count}`, signal)),
    trace: (words) => json('POST', `/trace?${traceQuery(words)}`),
    traceLive: async (words, signal) => jsonBatches<TraceLine>(body(name, await ask('GET', `/trace?${traceQuery(words)}`, signal))),
    redirect: async ({ interval, ...settings }, signal) =>
      jsonBatches<RedirectLine>(body(name, await ask('POST', `/redirect?${redirectQuery(settings, interval)}`, signal))),
    policy: (request) => json('POST', '/policy', JSON.stringify(request)),
    sockets: () => list('GET', '/sockets?format=ndjson'),
    openSocket: async (request) => {
      let sender: ClientRequest
      const response = await exchange('POST', `/sockets?${socketQuery(request)}`, 0, (opened) => {
        sender = opened
        opened.flushHeaders()
      })
      return openSocketStream(sender!, body(name, response))
    },
    ping: async (request, signal) => jsonBatches<PingLine>(body(name, await ask('POST', `/ping?${pingQuery(request)}`, signal))),
    metrics: async () => text(name, await ask('GET', '/metrics')),
    stop: async () => {
      await json('POST', '/stop')
    },
  }
}
