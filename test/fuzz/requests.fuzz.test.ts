/**
 * Any body for `POST /policy`, any words for `POST /trace`, at a control socket before a real data plane: an answer in JSON or an error with
 * code and message, never a broken connection or an error of another kind; and the gateway serves the next request.
 */
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import fc from 'fast-check'
import { pino } from 'pino'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { defaultSocketPath } from '../../src/api/instance.js'
import { type ControlServer, openControlServer } from '../../src/api/server.js'
import { PolicyLink } from '../../src/control/policy-link.js'
import { PolicyService } from '../../src/control/policy-service.js'
import { Tracer } from '../../src/control/tracer.js'
import { connectedRoutes } from '../../src/route/connected.js'
import { MemoryGateway } from '../../src/testing/index.js'
import { createGatewayDouble } from '../api/gateway-double.js'
import { devices } from '../policy/iproute/support.js'

let folder: string
let server: ControlServer
const bugs: unknown[] = []

/** The words' half of a gateway, and packets to ask about; the rest is a double. */
const start = async (): Promise<void> => {
  const gateway = new MemoryGateway()
  const { plane } = gateway
  const service = new PolicyService({
    log: pino({ level: 'silent' }), interfaces: ['lo', 'tun0', 'eth0'], seed: 1, now: () => gateway.now, random: () => 1, date: () => new Date(0), tableNames: () => new Map(),
  })
  const link = new PolicyLink((message) => {
    plane.policy.handle(message)
    while (plane.policy.step());
  })
  plane.policy.answer = (message) => link.hear(message)
  await service.setLinks(devices, connectedRoutes(devices))
  for (const message of service.startMessages()) plane.policy.handle(message)
  while (plane.policy.step());
  service.attach(link)
  const tracer = new Tracer({
    interfaces: ['tun0', 'eth0'],
    send: (message) => {
      if (message.type === 'trace') queueMicrotask(() => tracer.answered(message.id, plane.explain(message.bytes, message.zone, message.mark, message.isNew)))
    },
    wording: () => ({ ruleset: service.state.ruleset, ip: service.state.ip, timeouts: new Int32Array(32), wallTime: (time) => time }),
  })
  server.attach(Object.assign(createGatewayDouble(), {
    policy: service.run.bind(service),
    trace: tracer.ask.bind(tracer),
  }))
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tsnat-fuzz-'))
  vi.stubEnv('TSNAT_RUN_DIR', join(folder, 'run'))
  server = await openControlServer({ name: 'fuzz', path: defaultSocketPath('fuzz'), onError: (error) => bugs.push(error) })
  await start()
})
afterAll(async () => {
  await server.close()
  vi.unstubAllEnvs()
  rmSync(folder, { recursive: true })
})

const post = async (path: string, body = ''): Promise<{ status: number; answer: Record<string, unknown> }> => {
  const request = httpRequest({ socketPath: server.path, method: 'POST', path, agent: false }).end(body)
  const [response] = await once(request, 'response')
  return { status: response.statusCode as number, answer: JSON.parse(await text(response)) as Record<string, unknown> }
}

/** Either what was asked for, or an error that says what is wrong. */
const isAnswered = ({ status, answer }: Awaited<ReturnType<typeof post>>, wanted: Record<string, unknown>): void => {
  if (status === 200) expect(answer).toMatchObject(wanted)
  else expect({ status, answer }).toMatchObject({ status: expect.toSatisfy((code: number) => code === 400 || code === 413), answer: { code: expect.any(String), message: expect.any(String) } })
  expect(bugs).toEqual([])
}

const anything = fc.oneof(fc.string({ unit: 'binary' }), fc.string(), fc.constantFrom('', '0', '-1', '65535', '65536', '4294967296', '1e9', '0x10', 'null', '__proto__', '1.2.3.4', '10.0.0.0/8'))

it('POST /policy answers whatever comes', async () => {
  const word = fc.oneof({ weight: 4, arbitrary: fc.constantFrom(
    '-A', '-D', '-S', '-L', '-t', 'nat', 'mangle', 'FORWARD', 'POSTROUTING', '-j', 'DROP', 'MASQUERADE', 'MARK', '--set-mark', '7', '-p', 'tcp', '--dport', '80', '-s', '10.0.0.0/8', '-o', 'eth0',
    'rule', 'route', 'add', 'show', 'default', 'via', '10.0.0.254', 'table', '100', 'create', 'a', 'hash:ip', 'list', 'save', 'restore', '-', '-c', '--help', '--version', '-V', '-batch',
  ) }, { weight: 1, arbitrary: anything })
  const tool = fc.constantFrom('iptables', 'iptables-save', 'iptables-restore', 'ip', 'ipset')
  const input = fc.option(fc.record({ name: anything, text: fc.oneof(anything, fc.array(fc.array(word, { maxLength: 6 }).map((words) => words.join(' '))).map((lines) => lines.join('\n'))) }))
  const sensible = fc.record({ tool, argv: fc.array(word, { maxLength: 10 }), input })
  const odd = fc.record({ tool: fc.oneof(tool, fc.anything()), argv: fc.anything(), input: fc.anything() }, { requiredKeys: [] })
  const body = fc.oneof({ weight: 4, arbitrary: sensible.map((value) => JSON.stringify(value)) }, odd.map((value) => JSON.stringify(value, (_, one: unknown) => (typeof one === 'bigint' ? 1 : one)) ?? ''), anything)
  await fc.assert(fc.asyncProperty(body, async (sent) => {
    isAnswered(await post('/policy', sent), { output: expect.any(String), errors: expect.any(String), exitCode: expect.any(Number) })
  }), { numRuns: 1000 })
  expect((await post('/policy', JSON.stringify({ tool: 'iptables', argv: ['-S'], input: null }))).answer['exitCode']).toBe(0)
})

it('POST /trace answers whatever is asked', async () => {
  const port = fc.nat(65535).map(String)
  const byte = fc.nat(255).map(String)
  const kind = fc.oneof(
    fc.record({ protocol: fc.constant('tcp'), sport: port, dport: port, flags: fc.constantFrom('SYN', 'syn,ack', 'RST', 'NONE') }, { requiredKeys: ['dport'] }),
    fc.record({ protocol: fc.constantFrom('udp', 'sctp', 'udplite', '136'), sport: port, dport: port }, { requiredKeys: ['protocol', 'dport'] }),
    fc.record({ protocol: fc.constant('icmp'), icmpType: fc.constantFrom('echo-request', '0', '3/4', '13', '255') }, { requiredKeys: [] }),
    fc.record({ protocol: fc.oneof(fc.constantFrom('gre', 'esp'), byte) }),
  )
  const rest = fc.record({
    src: fc.ipV4(), dst: fc.ipV4(), interface: fc.constantFrom('lan', 'wan', 'tun0', 'eth0'), length: port, ttl: byte, tos: byte, mark: fc.nat(2 ** 31 - 1).map(String), new: fc.constant(''),
  }, { requiredKeys: ['src', 'dst'] })
  const words = fc.tuple(kind, rest).map(([one, other]): Record<string, string> => ({ ...one, ...other }))
  const some = fc.constantFrom('interface', 'src', 'dst', 'protocol', 'sport', 'dport', 'flags', 'icmpType', 'length', 'ttl', 'tos', 'mark', 'new')
  const harmed = fc.tuple(words, some, anything).map(([asked, key, value]) => ({ ...asked, [key]: value }))
  const few = fc.dictionary(fc.oneof(some, anything), anything, { maxKeys: 5 })
  let told = 0
  await fc.assert(fc.asyncProperty(fc.oneof({ weight: 3, arbitrary: words }, harmed, few), async (asked) => {
    const answer = await post(`/trace?${new URLSearchParams(Object.entries(asked)).toString()}`)
    isAnswered(answer, { type: 'packet', steps: expect.any(Array) })
    if (answer.status === 200) told++
  }), { numRuns: 1000 })
  expect(told).toBeGreaterThan(300)
  expect((await post('/trace?src=10.77.0.2&dst=198.51.100.1&dport=80')).status).toBe(200)
})
