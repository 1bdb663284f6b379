/**
 * The control socket: HTTP/JSON over a Unix socket (mode 0600 in a folder of mode 0700).
 *
 *     GET    /status                    GatewayStatus
 *     GET    /flows?FILTER&format=…     FlowRecords; format=json (an array, default) or ndjson (one a line)
 *     GET    /flows/count               {"count": N}
 *     DELETE /flows?FILTER&format=…     the FlowRecords that were deleted
 *     GET    /events?FILTER&types=…     FlowEvents, one a line, until the client goes; of a request with a body, until the body ends
 *     GET    /capture?side=&snaplen=&count=   pcapng, until the client goes; of a request with a body, until the body ends
 *     POST   /trace?WORDS               TraceRecord: what would become of a packet (DESCRIPTION_WORDS of trace-request.ts)
 *     GET    /trace?WORDS               TraceLines of packets that pass (FILTER_WORDS), one a line, until the client goes, as with /events
 *     POST   /redirect?WORDS            redirects to a SOCKS5 proxy until the client goes, as with /events; RedirectLines, one a line
 *     POST   /policy                    PolicyRequest in, PolicyAnswer out
 *     GET    /sockets?format=…          SocketInfos of the gateway's own sockets, as /flows
 *     POST   /sockets?WORDS             a socket of the gateway's own, for as long as the request lasts: frames in and out (socket-frames.ts)
 *     POST   /ping?WORDS                PingLines, one a line, until done, or as with /events
 *     GET    /metrics                   Prometheus text
 *     POST   /stop                      begins an orderly shutdown
 *
 * FILTER is the keys of FlowFilter. An error is {code, message, hint, exitCode}.
 *
 * The socket is opened before the gateway exists, so that a second instance of the same name fails before it touches
 * anything; until `attach`, requests get 503 STARTING. Lists are produced 64 KiB at a time, never faster than the client
 * reads, with a turn of the event loop between: a million flows neither fill the memory nor hold up anything else.
 */
import { once } from 'node:events'
import { chmodSync, existsSync, unlinkSync } from 'node:fs'
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createConnection } from 'node:net'
import { dirname } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setImmediate, setTimeout } from 'node:timers/promises'
import { ExitCode, TsnatError } from '../errors.js'
import { fileReason } from '../file-reason.js'
import { errorObject } from './error-object.js'
import { readFlowFilter } from './filter.js'
import { alreadyRunning, forgetInstance, makeInstanceDirectory, recordInstance, runningPid } from './instance.js'
import { readPolicyRequest } from './policy.js'
import { readRedirect } from './redirect.js'
import { decodeFrames, encodeFrame, slices } from './socket-frames.js'
import { readPingRequest, readSocketRequest } from './socket-request.js'
import type { SocketFrame } from './socket-types.js'
import { readLiveTrace, readQuestion } from './trace-request.js'
import { FLOW_EVENT_TYPES } from './types.js'
import type { CaptureRequest, EventRequest, FlowEventType, FlowFilter, GatewayControl } from './types.js'

export interface ControlServerOptions {
  /** Name of the instance. */
  name: string
  /** Path of the socket. */
  path: string
  /** Told of errors that are no fault of the client's. */
  onError: (error: unknown) => void
}

export interface ControlServer {
  readonly path: string
  /** From now on requests go to this gateway. */
  attach(control: GatewayControl): void
  /** Stops listening, gives running answers a second to end, removes the socket and the pid file. */
  close(): Promise<void>
}

/** Characters gathered before they are handed to the socket. */
const CHUNK = 65536
/** Bytes of a request's body. */
const BODY_MAX = 16 << 20

const usage = (message: string, hint: string): TsnatError =>
  new TsnatError(message, { code: 'BAD_REQUEST', hint, exitCode: ExitCode.usage })

const sendJson = (response: ServerResponse, value: unknown, status = 200): void => {
  response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(value)}\n`)
}

const STATUS_CODES: Partial<Record<ExitCode, number>> = { [ExitCode.usage]: 400, [ExitCode.notRunning]: 503 }

const sendError = (response: ServerResponse, error: unknown, status?: number): void => {
  if (response.headersSent) {
    response.destroy()
    return
  }
  const body = errorObject(error)
  sendJson(response, body, status ?? STATUS_CODES[body.exitCode] ?? 500)
}

type ListFormat = 'json' | 'ndjson'

/** The text of a list, in chunks of about {@link CHUNK}. */
async function* listText(flows: Iterable<object>, format: ListFormat): AsyncGenerator<string> {
  const separator = format === 'json' ? ',\n' : ''
  const terminator = format === 'json' ? '' : '\n'
  let chunk = format === 'json' ? '[' : ''
  let first = true
  for (const flow of flows) {
    chunk += `${first ? '' : separator}${JSON.stringify(flow)}${terminator}`
    first = false
    if (chunk.length < CHUNK) continue
    yield chunk
    chunk = ''
    await setImmediate()
  }
  yield format === 'json' ? `${chunk}]\n` : chunk
}

const sendList = async (response: ServerResponse, flows: Iterable<object>, format: ListFormat): Promise<void> => {
  response.writeHead(200, { 'content-type': format === 'json' ? 'application/json' : 'application/x-ndjson' })
  await pipeline(Readable.from(listText(flows, format)), response)
}

const readFormat = (format = 'json'): ListFormat => {
  if (format === 'json' || format === 'ndjson') return format
  throw usage(`format "${format}" is unknown`, 'format is json or ndjson')
}

const readList = (query: URLSearchParams): { filter: FlowFilter; format: ListFormat } => {
  const { format, ...words } = Object.fromEntries(query)
  return { format: readFormat(format), filter: readFlowFilter(words) }
}

const readCapture = (query: URLSearchParams): CaptureRequest => {
  const { side = 'both', snaplen = '0', count = '0', ...rest } = Object.fromEntries(query)
  const unknown = Object.keys(rest)[0]
  if (unknown !== undefined) throw usage(`"${unknown}" is not known to capture`, 'known: side, snaplen, count')
  if (side !== 'lan' && side !== 'wan' && side !== 'both') throw usage(`side "${side}" is unknown`, 'side is lan, wan or both')
  const number = (name: string, text: string, maximum: number): number => {
    const value = /^\d+$/.test(text) ? Number(text) : NaN
    if (!(value <= maximum)) throw usage(`${name} "${text}" is not a number from 0 to ${maximum}`, '0 means no limit')
    return value
  }
  return { side, snaplen: number('snaplen', snaplen, 65535), count: number('count', count, Number.MAX_SAFE_INTEGER) }
}

type Handler = (control: GatewayControl, query: URLSearchParams, response: ServerResponse, request: IncomingMessage) => void | Promise<void>

/** The body of a request, which has not begun to come. */
const readBody = async (request: IncomingMessage): Promise<string> => {
  const chunks: Buffer[] = []
  let bytes = 0
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes <= BODY_MAX) chunks.push(chunk)
  })
  await once(request, 'end')
  if (bytes > BODY_MAX) throw usage(`the request has ${bytes} bytes`, `at most ${BODY_MAX} bytes are taken; larger files are read at the start: tsnat up --rules, --ipset, --ip-batch`)
  return Buffer.concat(chunks).toString()
}

/** A stream of which the first piece has been taken already. */
async function* resume<T>(first: IteratorResult<T>, rest: AsyncIterator<T>): AsyncGenerator<T> {
  try {
    for (let next = first; next.done !== true; next = await rest.next()) yield next.value
  } finally {
    await rest.return?.()
  }
}

/** Aborts when the client goes, which loses what is still under way, or ends the body of its request, which gets it whole. */
const endOf = (request: IncomingMessage, response: ServerResponse): AbortSignal => {
  const abort = new AbortController()
  response.once('close', () => abort.abort())
  if (request.headers['transfer-encoding'] !== undefined) request.once('end', () => abort.abort())
  return abort.signal
}

const capture: Handler = async (control, query, response, request) => {
  const chunks = control.capture(readCapture(query), endOf(request, response))[Symbol.asyncIterator]()
  // The file header comes at once. It is waited for, so that a refusal (another capture runs) can still be told as one.
  const first = await chunks.next()
  response.writeHead(200, { 'content-type': 'application/x-pcapng' })
  response.flushHeaders()
  await pipeline(Readable.from(resume(first, chunks), { objectMode: false }), response)
}

const readEvents = (query: URLSearchParams): EventRequest => {
  const { types: list = FLOW_EVENT_TYPES.join(','), ...words } = Object.fromEntries(query)
  const types = list.split(',').map((word): FlowEventType => {
    const type = FLOW_EVENT_TYPES.find((one) => one === word)
    if (type === undefined) throw usage(`type "${word}" is unknown`, `types are ${FLOW_EVENT_TYPES.join(', ')}`)
    return type
  })
  return { filter: readFlowFilter(words), types }
}

async function* lineText(batches: AsyncIterable<readonly object[]>): AsyncGenerator<string> {
  for await (const batch of batches) if (batch.length > 0) yield batch.map((event) => `${JSON.stringify(event)}\n`).join('')
}

const events: Handler = async (control, query, response, request) => {
  const batches = control.events(readEvents(query), endOf(request, response))
  response.writeHead(200, { 'content-type': 'application/x-ndjson' })
  response.flushHeaders()
  await pipeline(Readable.from(lineText(batches)), response)
}

const liveTrace: Handler = async (control, query, response, request) => {
  const batches = control.traceLive(readLiveTrace(Object.fromEntries(query)), endOf(request, response))[Symbol.asyncIterator]()
  // Waited for, so that a refusal can still be told as one.
  const first = await batches.next()
  response.writeHead(200, { 'content-type': 'application/x-ndjson' })
  response.flushHeaders()
  await pipeline(Readable.from(lineText(resume(first, batches))), response)
}

const redirect: Handler = async (control, query, response, request) => {
  const batches = control.redirect(readRedirect(Object.fromEntries(query)), endOf(request, response))[Symbol.asyncIterator]()
  const first = await batches.next()
  response.writeHead(200, { 'content-type': 'application/x-ndjson' })
  response.flushHeaders()
  await pipeline(Readable.from(lineText(resume(first, batches))), response)
}

const listSockets: Handler = (control, query, response) => {
  const { format, ...rest } = Object.fromEntries(query)
  const unknown = Object.keys(rest)[0]
  if (unknown !== undefined) throw usage(`"${unknown}" is not known to sockets`, 'known: format')
  return sendList(response, control.listSockets(), readFormat(format))
}

async function* frameBytes(frames: AsyncIterable<SocketFrame>): AsyncGenerator<Buffer> {
  for await (const frame of frames) {
    if (!(frame instanceof Uint8Array) || frame.length === 0) yield encodeFrame(frame)
    else for (const slice of slices(frame)) yield encodeFrame(slice)
  }
}

const openSocket: Handler = async (control, query, response, request) => {
  const settings = readSocketRequest(Object.fromEntries(query))
  // Read when there is a connection that takes it.
  request.pause()
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  const frames = control.openSocket(settings, decodeFrames(request), gone.signal)
  response.writeHead(200, { 'content-type': 'application/octet-stream' })
  response.flushHeaders()
  await pipeline(Readable.from(frameBytes(frames), { objectMode: false }), response)
}

const ping: Handler = async (control, query, response, request) => {
  const lines = control.ping(readPingRequest(Object.fromEntries(query)), endOf(request, response))
  response.writeHead(200, { 'content-type': 'application/x-ndjson' })
  response.flushHeaders()
  await pipeline(Readable.from(lineText(lines)), response)
}

const ROUTES: Readonly<Record<string, Readonly<Record<string, Handler>>>> = {
  '/status': { GET: (control, _query, response) => sendJson(response, control.status()) },
  '/flows': {
    GET: (control, query, response) => {
      const { filter, format } = readList(query)
      return sendList(response, control.flows(filter), format)
    },
    DELETE: async (control, query, response) => {
      const { filter, format } = readList(query)
      await sendList(response, await control.deleteFlows(filter), format)
    },
  },
  '/flows/count': { GET: (control, _query, response) => sendJson(response, { count: control.flowCount() }) },
  '/events': { GET: events },
  '/capture': { GET: capture },
  '/trace': {
    GET: liveTrace,
    POST: async (control, query, response) => sendJson(response, await control.trace(readQuestion(Object.fromEntries(query)))),
  },
  '/redirect': { POST: redirect },
  '/policy': {
    POST: async (control, _query, response, request) => sendJson(response, await control.policy(readPolicyRequest(await readBody(request)))),
  },
  '/sockets': { GET: listSockets, POST: openSocket },
  '/ping': { POST: ping },
  '/metrics': {
    GET: async (control, _query, response) => {
      const text = await control.metrics()
      response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }).end(text)
    },
  },
  '/stop': {
    POST: (control, _query, response) => {
      sendJson(response, { stopping: true }, 202)
      control.stop()
    },
  },
}

const serve = async (control: GatewayControl | undefined, request: IncomingMessage, response: ServerResponse): Promise<void> => {
  request.resume()
  const url = new URL(request.url ?? '/', 'http://tsnat')
  const route = Object.hasOwn(ROUTES, url.pathname) ? ROUTES[url.pathname]! : undefined
  if (route === undefined) {
    return sendError(response, usage(`there is no ${url.pathname}`, `there are ${Object.keys(ROUTES).join(', ')}`), 404)
  }
  const handler = route[request.method ?? '']
  if (handler === undefined) {
    response.setHeader('allow', Object.keys(route).join(', '))
    return sendError(response, usage(`${url.pathname} does not take ${request.method}`, `it takes ${Object.keys(route).join(', ')}`), 405)
  }
  if (control === undefined) {
    throw new TsnatError('the gateway is still starting', {
      code: 'STARTING',
      hint: 'wait for it with "tsnat status --wait"',
      exitCode: ExitCode.notRunning,
    })
  }
  await handler(control, url.searchParams, response, request)
}

/** Whether somebody listens on a Unix socket. */
const answers = async (path: string): Promise<boolean> => {
  const socket = createConnection(path)
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

const listenError = (path: string, error: unknown): TsnatError => {
  const { code } = error as NodeJS.ErrnoException
  // libuv reports a folder that does not exist as EACCES, too.
  const noFolder = !existsSync(dirname(path))
  const denied = !noFolder && (code === 'EACCES' || code === 'EPERM')
  const reason = noFolder ? 'its folder does not exist' : fileReason(error)
  return new TsnatError(`cannot listen on the control socket ${path}: ${reason}`, {
    code: 'CONTROL_SOCKET',
    hint: denied ? 'run tsnat as root, or choose another path with --socket' : 'choose another path with --socket',
    exitCode: denied ? ExitCode.permission : ExitCode.config,
    cause: error,
  })
}

/**
 * Opens the control socket of an instance and notes its pid. A socket file that a dead process left is replaced.
 * @throws TsnatError ALREADY_RUNNING, CONTROL_SOCKET, RUN_DIRECTORY
 */
export const openControlServer = async ({ name, path, onError }: ControlServerOptions): Promise<ControlServer> => {
  let control: GatewayControl | undefined
  // No limit to a request's length in time: that of a capture is as long as the capture.
  const server = createServer({ requestTimeout: 0 }, (request, response) => {
    response.on('error', () => {})
    serve(control, request, response).catch((error: unknown) => {
      // The client going away is not an error of ours.
      if ((error as NodeJS.ErrnoException).code === 'ERR_STREAM_PREMATURE_CLOSE') return
      sendError(response, error)
      if (!(error instanceof TsnatError)) onError(error)
    })
  })

  const listen = async (): Promise<void> => {
    // The socket is bound within this call; the mask keeps others out from the first moment.
    const mask = process.umask(0o177)
    try {
      server.listen(path)
    } finally {
      process.umask(mask)
    }
    await once(server, 'listening')
    chmodSync(path, 0o600)
  }

  const running = runningPid(name)
  if (running !== null && running !== process.pid) throw alreadyRunning(name, running)
  makeInstanceDirectory(name)
  try {
    await listen()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw listenError(path, error)
    if (await answers(path)) throw alreadyRunning(name, running)
    try {
      unlinkSync(path)
      await listen()
    } catch (again) {
      throw listenError(path, again)
    }
  }
  recordInstance(name)
  server.on('error', onError)

  return {
    path,
    attach: (gateway) => {
      control = gateway
    },
    close: async () => {
      const closed = once(server, 'close')
      server.close()
      server.closeIdleConnections()
      const grace = new AbortController()
      await Promise.race([closed, setTimeout(1000, undefined, { signal: grace.signal })])
      grace.abort()
      server.closeAllConnections()
      await closed
      forgetInstance(name)
    },
  }
}
