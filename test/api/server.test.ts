import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createControlClient } from '../../src/api/client.js'
import { defaultSocketPath, runningInstances, runningPid } from '../../src/api/instance.js'
import { openControlServer } from '../../src/api/server.js'
import type { ControlServer } from '../../src/api/server.js'
import type { FlowEvent, FlowRecord } from '../../src/api/types.js'
import { ExitCode, TsnatError } from '../../src/errors.js'
import { createGatewayDouble, tcpFlow } from './gateway-double.js'

let folder: string
let server: ControlServer | undefined
let bugs: unknown[]

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tsnat-api-'))
  vi.stubEnv('TSNAT_RUN_DIR', join(folder, 'run'))
  bugs = []
})
afterEach(async () => {
  await server?.close()
  server = undefined
  vi.unstubAllEnvs()
  rmSync(folder, { recursive: true })
})

const open = async (name = 'default', path = defaultSocketPath(name)): Promise<ControlServer> => openControlServer({ name, path, onError: (error) => bugs.push(error) })
const start = async (name = 'default') => {
  const gateway = createGatewayDouble()
  server = await open(name)
  server.attach(gateway)
  return { gateway, client: createControlClient(name) }
}
const all = async <T>(items: AsyncIterable<T>): Promise<T[]> => {
  const list: T[] = []
  for await (const item of items) list.push(item)
  return list
}
const failure = async (promise: Promise<unknown>): Promise<TsnatError> => {
  const error = await promise.then(() => undefined, (reason: unknown) => reason)
  if (error instanceof TsnatError) return error
  throw new Error(`no TsnatError but ${String(error)}`)
}
const raw = async (method: string, path: string): Promise<{ status: number | undefined; body: string; headers: Record<string, unknown> }> => {
  const request = httpRequest({ socketPath: server!.path, method, path, agent: false }).end()
  const [response] = await once(request, 'response')
  return { status: response.statusCode, body: await text(response), headers: response.headers }
}

describe('control socket', () => {
  it('is there for its owner only', async () => {
    await start()
    expect(statSync(defaultSocketPath('default')).mode & 0o777).toBe(0o600)
    expect(statSync(join(folder, 'run', 'default')).mode & 0o777).toBe(0o700)
    expect(runningPid('default')).toBe(process.pid)
    expect(runningInstances()).toEqual(['default'])
  })

  it('is gone after close', async () => {
    await start()
    await server!.close()
    server = undefined
    expect(existsSync(defaultSocketPath('default'))).toBe(false)
    expect(runningPid('default')).toBeNull()
    expect(await failure(createControlClient('default').status())).toMatchObject({ code: 'NOT_RUNNING', exitCode: ExitCode.notRunning })
  })

  it('answers status, count, metrics and stop', async () => {
    const { gateway, client } = await start()
    expect(await client.status()).toEqual(gateway.state)
    expect(await client.flowCount()).toBe(3)
    expect(await client.metrics()).toBe('tsnat_up 1\n')
    await client.stop()
    expect(gateway.stopped).toBe(true)
  })

  it('streams events until the reader has enough', async () => {
    const { gateway, client } = await start()
    const flow = tcpFlow()
    gateway.batches = [[{ type: 'new', time: 1, flow }, { type: 'update', time: 2, flow }], [{ type: 'lost', count: 3 }]]
    const end = new AbortController()
    const batches = await client.events({ filter: { protocol: 'tcp', origDst: '198.51.100.10/32' }, types: ['new', 'update'] }, end.signal)
    expect(gateway.listeners).toEqual([{ request: { filter: { protocol: 'tcp', origDst: '198.51.100.10/32' }, types: ['new', 'update'] }, ended: false }])
    const events: FlowEvent[] = []
    for await (const batch of batches) {
      events.push(...batch)
      if (events.length === 3) end.abort()
    }
    expect(events).toEqual(gateway.batches.flat())
    expect(gateway.listeners[0]!.ended).toBe(true)
  })

  it('stops telling events when the reader goes', async () => {
    const { gateway } = await start()
    const request = httpRequest({ socketPath: server!.path, path: '/events', agent: false }).end()
    const [response] = await once(request, 'response')
    expect(response.headers['content-type']).toBe('application/x-ndjson')
    expect(gateway.listeners[0]!.request.types).toEqual(['new', 'update', 'destroy'])
    request.destroy()
    await expect.poll(() => gateway.listeners[0]!.ended).toBe(true)
    expect(bugs).toEqual([])
  })

  it('refuses kinds of events and filters that it does not know', async () => {
    await start()
    for (const query of ['types=new,old', 'colour=red', 'origSrc=x']) expect((await raw('GET', `/events?${query}`)).status).toBe(400)
  })

  it('lists sockets, and refuses requests for them that it does not understand', async () => {
    const { gateway } = await start()
    expect(JSON.parse((await raw('GET', '/sockets')).body)).toEqual(gateway.list)
    for (const [method, target] of [['GET', '/sockets?protocol=tcp'], ['POST', '/sockets?host=x&port=1'], ['POST', '/sockets?mark=-1'], ['POST', '/ping'], ['POST', '/ping?host=192.0.2.1&count=x']] as const) {
      expect((await raw(method, target)).status).toBe(400)
    }
    expect([gateway.opened, gateway.pings]).toEqual([[], []])
  })

  it('lists and deletes flows by filter', async () => {
    const { gateway, client } = await start()
    expect(await all(client.flows({}))).toEqual(gateway.table)
    expect((await all(client.flows({ protocol: 'udp', origDst: '198.51.100.0/24' }))).map(({ protocol }) => protocol)).toEqual(['udp'])
    expect((await all(client.deleteFlows({ protocol: 'icmp' }))).map(({ protocol }) => protocol)).toEqual(['icmp'])
    expect(await client.flowCount()).toBe(2)
  })

  it('gives JSON arrays too, also empty ones', async () => {
    const { gateway } = await start()
    expect(JSON.parse((await raw('GET', '/flows')).body)).toEqual(gateway.table)
    expect(JSON.parse((await raw('GET', '/flows?state=CLOSE')).body)).toEqual([])
    expect((await raw('GET', '/flows?format=ndjson&state=CLOSE')).body).toBe('')
  })

  it('streams a long list while it answers others, no faster than it is read', async () => {
    const { gateway, client } = await start()
    let produced = 0
    const total = 200_000
    gateway.flows = function* (): Iterable<FlowRecord> {
      for (; produced < total; produced++) yield tcpFlow(produced & 0xffff)
    }
    const reader = client.flows({})[Symbol.asyncIterator]()
    await reader.next()
    // Meanwhile the socket buffers are full and the list stands still; the status comes all the same.
    await client.status()
    await client.status()
    expect(produced).toBeLessThan(total / 4)
    let count = 1
    while ((await reader.next()).done !== true) count++
    expect(count).toBe(total)
  })

  it('stops producing when the reader goes away', async () => {
    const { gateway, client } = await start()
    let ended = false
    gateway.flows = function* (): Iterable<FlowRecord> {
      try {
        for (;;) yield tcpFlow()
      } finally {
        ended = true
      }
    }
    for await (const flow of client.flows({})) {
      expect(flow.protocol).toBe('tcp')
      break
    }
    await vi.waitFor(() => expect(ended).toBe(true))
    expect(bugs).toEqual([])
  })

  it('streams a capture until the client aborts', async () => {
    const { gateway, client } = await start()
    gateway.captureChunk = Uint8Array.of(1, 2, 3)
    const abort = new AbortController()
    const chunks = await client.capture({ side: 'wan', snaplen: 96, count: 0 }, abort.signal)
    const received: number[] = []
    for await (const chunk of chunks) {
      received.push(...chunk)
      abort.abort()
    }
    expect(received).toEqual([1, 2, 3])
    await vi.waitFor(() => expect(gateway.captures).toEqual([{ request: { side: 'wan', snaplen: 96, count: 0 }, ended: true }]))
    expect(bugs).toEqual([])
  })

  it('ends a capture at its count', async () => {
    const { gateway, client } = await start()
    gateway.captureChunk = Uint8Array.of(9)
    expect(Buffer.concat(await all(await client.capture({ side: 'both', snaplen: 0, count: 1 }, new AbortController().signal)))).toEqual(Buffer.of(9))
  })

  it('tells why a capture is refused', async () => {
    const { gateway, client } = await start()
    gateway.broken = new TsnatError('a capture is running already', { code: 'CAPTURE_BUSY', hint: 'end it first' })
    expect(await failure(client.capture({ side: 'both', snaplen: 0, count: 0 }, new AbortController().signal))).toMatchObject({ code: 'CAPTURE_BUSY', hint: 'end it first' })
  })

  it.each([
    ['GET', '/nothing', 404, 'there is no /nothing'],
    ['PUT', '/flows', 405, '/flows does not take PUT'],
    ['GET', '/flows?color=red', 400, '"color" is not a filter'],
    ['GET', '/flows?origSrc=x', 400, 'origSrc: "x" is not an IPv4 address or prefix'],
    ['GET', '/flows?format=xml', 400, 'format "xml" is unknown'],
    ['GET', '/capture?side=left', 400, 'side "left" is unknown'],
    ['GET', '/capture?count=-1', 400, 'count "-1" is not a number'],
    ['GET', '/capture?filter=tcp', 400, '"filter" is not known to capture'],
    ['GET', '/constructor', 404, 'there is no /constructor'],
  ])('%s %s is refused with %d', async (method, path, status, message) => {
    await start()
    const answer = await raw(method, path)
    expect(answer.status).toBe(status)
    expect(JSON.parse(answer.body)).toMatchObject({ code: expect.any(String), message: expect.stringContaining(message), hint: expect.any(String), exitCode: ExitCode.usage })
    expect(bugs).toEqual([])
  })

  it('gives the client the error that the gateway threw', async () => {
    const { gateway, client } = await start()
    gateway.broken = new TsnatError('the worker died', { code: 'WORKER', hint: 'see the log', exitCode: ExitCode.failure })
    expect(await failure(client.status())).toMatchObject({ message: 'the worker died', code: 'WORKER', hint: 'see the log', exitCode: ExitCode.failure })
    expect(bugs).toEqual([])
    gateway.broken = new TypeError('x is undefined')
    expect(await failure(client.status())).toMatchObject({ code: 'BUG', exitCode: ExitCode.bug, message: expect.stringContaining('x is undefined') })
    expect(bugs).toEqual([gateway.broken])
  })

  it('cuts a list off when the gateway fails in its middle', async () => {
    const { gateway, client } = await start()
    gateway.flows = function* (): Iterable<FlowRecord> {
      for (let i = 0; i < 10_000; i++) yield tcpFlow()
      throw new RangeError('broken table')
    }
    expect(await failure(all(client.flows({})))).toMatchObject({ code: 'CONTROL_LOST' })
    expect(bugs).toEqual([expect.any(RangeError)])
  })

  it('says that the gateway is starting until it is attached', async () => {
    server = await open()
    expect(await failure(createControlClient('default').status())).toMatchObject({ code: 'STARTING', exitCode: ExitCode.notRunning })
  })

  it('ends a running capture when it closes', async () => {
    const { gateway, client } = await start()
    gateway.captureChunk = Uint8Array.of(1)
    const chunks = await client.capture({ side: 'both', snaplen: 0, count: 0 }, new AbortController().signal)
    const reading = failure(all(chunks))
    await server!.close()
    server = undefined
    expect(await reading).toMatchObject({ code: 'CONTROL_LOST' })
  })
})

describe('POST /policy', () => {
  const command = { tool: 'iptables-restore', argv: ['-c'], input: { name: 'rules.v4', text: '*filter\nCOMMIT\n' } } as const

  it('runs a command and answers with what it says', async () => {
    const { gateway, client } = await start()
    gateway.policyAnswer = { output: 'out', errors: 'err', exitCode: 2, file: null }
    expect(await client.policy(command)).toEqual(gateway.policyAnswer)
    expect(await client.policy({ tool: 'ip', argv: [], input: null })).toEqual(gateway.policyAnswer)
    expect(gateway.commands).toEqual([command, { tool: 'ip', argv: [], input: null }])
    const large = { ...command, input: { name: 'x', text: 'a'.repeat(5_000_000) } }
    await client.policy(large)
    expect(gateway.commands[2]).toEqual(large)
  })

  it.each([
    ['', 'the request is not JSON'],
    ['[]', 'the request is not an object'],
    ['{"tool":"nft","argv":[]}', 'there is no tool "nft"'],
    ['{"tool":"ip","argv":"rule"}', '"argv" is not a list of words'],
    ['{"tool":"ip","argv":[1]}', '"argv" is not a list of words'],
    ['{"tool":"ip","argv":[],"input":"x"}', '"input" is not {"name": …, "text": …}'],
  ])('refuses %j', async (content, message) => {
    await start()
    const request = httpRequest({ socketPath: server!.path, method: 'POST', path: '/policy', agent: false }).end(content)
    const [response] = await once(request, 'response')
    expect(response.statusCode).toBe(400)
    expect(JSON.parse(await text(response))).toMatchObject({ code: 'BAD_REQUEST', message })
  })

  it('refuses what is too long', async () => {
    const { client, gateway } = await start()
    const error = await failure(client.policy({ ...command, input: { name: 'x', text: 'a'.repeat(17 << 20) } }))
    expect(error).toMatchObject({ code: 'BAD_REQUEST', message: expect.stringMatching(/^the request has 178\d{5} bytes$/) as string })
    expect(gateway.commands).toEqual([])
  })
})

describe('one instance a name', () => {
  it('refuses a second one, naming the pid of another process', async () => {
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
    await once(child, 'spawn')
    await start('a')
    const started = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1]!.split(' ')[19]
    writeFileSync(join(folder, 'run', 'a', 'pid'), `${child.pid} ${started}\n`)
    const error = await failure(open('a'))
    expect(error).toMatchObject({ code: 'ALREADY_RUNNING', exitCode: ExitCode.config, message: `an instance named "a" is already running (pid ${child.pid})` })
    expect(error.hint).toContain('tsnat down --name a')
    child.kill('SIGKILL')
    await once(child, 'exit')
    expect(runningPid('a')).toBeNull()
    expect(await failure(open('a'))).toMatchObject({ code: 'ALREADY_RUNNING' })
  })

  it('lets other names run beside it and lists them', async () => {
    await start('a')
    const other = await open('b')
    expect(runningInstances()).toEqual(['a', 'b'])
    expect((await failure(createControlClient('c').status())).hint).toBe('running: a, b (choose with --name)')
    await other.close()
  })

  it('does not take a process that got the same pid for the instance', async () => {
    await start('a')
    writeFileSync(join(folder, 'run', 'a', 'pid'), `${process.pid} 1\n`)
    expect(runningPid('a')).toBeNull()
  })

  it('replaces the socket of a process that was killed', async () => {
    const path = join(folder, 'left.sock')
    const child = spawn(process.execPath, ['-e', `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`])
    await once(child, 'exit')
    expect(existsSync(path)).toBe(true)
    const gateway = createGatewayDouble()
    server = await open('default', path)
    server.attach(gateway)
    expect((await createControlClient('default', path).status()).pid).toBe(process.pid)
  })

  it('says why it cannot listen', async () => {
    expect(await failure(open('default', join(folder, 'none', 'x.sock')))).toMatchObject({ code: 'CONTROL_SOCKET', message: expect.stringContaining('its folder does not exist'), exitCode: ExitCode.config })
    writeFileSync(join(folder, 'file'), '')
    vi.stubEnv('TSNAT_RUN_DIR', join(folder, 'file'))
    expect(await failure(open())).toMatchObject({ code: 'RUN_DIRECTORY', exitCode: ExitCode.config })
  })

  it('gives up on a gateway that is silent', async () => {
    const path = join(folder, 'silent.sock')
    const silent = createServer(() => {}).listen(path)
    await once(silent, 'listening')
    expect(await failure(createControlClient('default', path, 30).status())).toMatchObject({ code: 'CONTROL_SILENT' })
    silent.close()
  })
})
