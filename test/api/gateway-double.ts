/**
 * A gateway that only answers the control socket: flows in an array, a status, a capture that repeats bytes. For the tests
 * of HTTP and of text output; packets need the real one.
 */
import { once } from 'node:events'
import { flowMatcher } from '../../src/api/filter.js'
import type { PingLine, PingRequest, SocketFrame, SocketInfo, SocketRequest } from '../../src/api/socket-types.js'
import type { LiveTraceRequest, TraceQuestion } from '../../src/api/trace-request.js'
import type { TraceLine, TraceRecord } from '../../src/api/trace-types.js'
import type { CaptureRequest, EventRequest, FlowEvent, FlowFilter, FlowRecord, GatewayControl, GatewayStatus, PolicyAnswer, PolicyRequest, RedirectRequest, RedirectStatus } from '../../src/api/types.js'

export const tcpFlow = (port = 50594): FlowRecord => ({
  id: `${998353455 + port}`,
  protocol: 'tcp',
  protonum: 6,
  state: 'ESTABLISHED',
  timeout: 431998,
  original: { src: '10.0.0.2', dst: '198.51.100.10', sport: port, dport: 8080, packets: 4, bytes: 219 },
  reply: { src: '198.51.100.10', dst: '198.51.100.1', sport: 8080, dport: port, packets: 3, bytes: 167 },
  replied: true,
  assured: true,
  mark: 0,
})

export const udpFlow = (): FlowRecord => ({
  id: '355222802',
  protocol: 'udp',
  protonum: 17,
  state: null,
  timeout: 28,
  original: { src: '10.0.0.2', dst: '198.51.100.10', sport: 41169, dport: 5353, packets: 1, bytes: 31 },
  reply: { src: '198.51.100.10', dst: '198.51.100.1', sport: 5353, dport: 41169, packets: 0, bytes: 0 },
  replied: false,
  assured: false,
  mark: 0,
})

export const icmpFlow = (): FlowRecord => ({
  id: '3830404494',
  protocol: 'icmp',
  protonum: 1,
  state: null,
  timeout: 28,
  original: { src: '10.0.0.2', dst: '198.51.100.10', type: 8, code: 0, id: 5839, packets: 2, bytes: 168 },
  reply: { src: '198.51.100.10', dst: '198.51.100.1', type: 0, code: 0, id: 5839, packets: 2, bytes: 168 },
  replied: true,
  assured: false,
  mark: 0,
})

const offloads = { vnetHeader: true, checksum: true, tcpSegmentation: true, udpSegmentation: true }

export const exampleStatus = (): GatewayStatus => ({
  name: 'default',
  version: '0.1.0',
  pid: process.pid,
  state: 'ready',
  reasons: [],
  uptime: 7443.2,
  lan: {
    name: 'tun0',
    ifindex: 7,
    up: true,
    mtu: 1500,
    addresses: ['10.77.0.2/24'],
    offloads,
    rx: { packets: 12345, bytes: 1_234_567 },
    tx: { packets: 23456, bytes: 987_654_321, errors: 0, lastError: null },
    kernelDrops: 0,
    gatewayAddress: '10.77.0.1',
    netns: null,
    capture: 'default',
  },
  wans: [{
    name: 'eth0',
    ifindex: 2,
    up: true,
    mtu: 1500,
    addresses: ['198.51.100.1/24'],
    offloads: { ...offloads, udpSegmentation: false },
    rx: { packets: 23456, bytes: 987_654_321 },
    tx: { packets: 12345, bytes: 1_234_567, errors: 2, lastError: 'ENOBUFS' },
    kernelDrops: 5,
    state: 'ready',
    reasons: [],
    health: null,
    weight: null,
    metric: null,
    driver: 'packet',
    addressMode: 'shared',
    address: '198.51.100.1',
    nextHop: '198.51.100.254',
    neighbour: '52:54:00:12:34:56',
    pool: null, ports: '512-599,36864-60999',
  }],
  flows: { count: 3, capacity: 262144, tcp: 1, udp: 1, icmp: 1, sctp: 0, gre: 0, other: 0, opened: 1000, expired: 997, refused: 4 },
  limits: {
    profile: 'behave', sources: 2, flowsPerSource: null, newFlowsPerSource: 100, halfOpen: { count: 1, limit: 5000 }, halfOpenPerSource: null,
    fragmentBytes: { count: 2048, limit: 4194304 }, rules: [{ count: 3, limit: 1000 }, { count: 0, limit: null }], icmpErrorsPerSecond: 1000, icmpErrorsWithheld: 12, refusal: 'host-unreachable', gaveWay: 7,
  },
  sockets: { count: 4, limit: 65536, tcp: 2, udp: 1, icmp: 0, timeWait: 1 },
  events: { readers: 0, lost: 0 },
  bindings: { logged: 0, lost: 0 },
  log: { lines: 0, packets: 0, lost: 0 },
  redirects: [],
  drops: { 'no-flow': 7, 'ttl-expired': 12 },
})

export const exampleRedirect = (): RedirectStatus => ({
  to: 'socks5://me@192.0.2.1:1080', protocols: ['tcp', 'udp'], by: 'tproxy', address: '127.0.0.1', port: 1080, error: null,
  tcp: { active: 3, opened: 1042, failed: 2, refused: 0, broken: 1, sent: 123_456, received: 7_654_321 },
  udp: { active: 5, opened: 40, failed: 0, displaced: 0, sent: 80, received: 79, dropped: 1 },
})

export const exampleTrace = (): TraceRecord => ({
  type: 'packet', time: 1795167009016, result: 'dropped', reason: 'no-route',
  steps: [
    { step: 'packet', interface: 'tun0', src: '10.77.0.2', dst: '198.51.100.10', protocol: 'tcp', sport: 40000, dport: 443, flags: ['SYN'], length: 44, ttl: 64, tos: 0 },
    { step: 'table', table: 'filter', hook: 'FORWARD' },
    { step: 'rule', table: 'filter', chain: 'FORWARD', number: 1, rule: '-p udp -j ACCEPT', matched: false, failed: '-p udp' },
    { step: 'policy', table: 'filter', chain: 'FORWARD', policy: 'ACCEPT' },
    { step: 'drop', reason: 'no-route', text: 'no route to the destination' },
  ],
})

export const exampleSockets = (): SocketInfo[] => [
  { protocol: 'udp', state: 'UNCONN', receiveQueue: 0, sendQueue: 0, local: { address: '0.0.0.0', port: 53 }, remote: null },
  { protocol: 'tcp', state: 'ESTAB', receiveQueue: 12, sendQueue: 65536, local: { address: '10.1.0.1', port: 40222 }, remote: { address: '198.51.100.10', port: 80 } },
  { protocol: 'tcp', state: 'LISTEN', receiveQueue: 0, sendQueue: 1, local: { address: '0.0.0.0', port: 8080 }, remote: null },
  { protocol: 'tcp', state: 'TIME-WAIT', receiveQueue: 0, sendQueue: 0, local: { address: '10.1.0.1', port: 40221 }, remote: { address: '198.51.100.10', port: 80 } },
]

const exampleSummary = (lines: readonly PingLine[]): PingLine => {
  const received = lines.filter(({ type }) => type === 'reply').length
  return {
    type: 'ended', transmitted: lines.length, received, duplicates: 0, errors: lines.length - received, time: 1003.6,
    rtt: received === 0 ? null : { min: 0.05, avg: 1.25, max: 12.3456, mdev: 0.5 },
  }
}

export interface GatewayDouble extends GatewayControl {
  state: GatewayStatus
  table: FlowRecord[]
  stopped: boolean
  /** What the next request throws. */
  broken: Error | undefined
  /** What readers of events get, batch by batch; after the last they wait for the end. */
  batches: FlowEvent[][]
  listeners: { request: EventRequest; ended: boolean }[]
  captures: { request: CaptureRequest; ended: boolean }[]
  captureChunk: Uint8Array
  questions: TraceQuestion[]
  /** What readers of live traces get, batch by batch. */
  traced: TraceLine[][]
  liveTraces: { request: LiveTraceRequest; ended: boolean }[]
  redirects: { request: RedirectRequest; ended: boolean }[]
  list: SocketInfo[]
  /** Sockets that were opened: what their clients sent, and whether these are gone. */
  opened: { request: SocketRequest; received: SocketFrame[]; gone: boolean }[]
  /** What the next socket does, given what comes from its client. */
  socket: (input: AsyncIterable<SocketFrame>) => AsyncIterable<SocketFrame>
  pings: { request: PingRequest; ended: boolean }[]
  /** What a ping tells before its summary. */
  pinged: PingLine[]
  /** Commands that were run, and what they are answered with. */
  commands: PolicyRequest[]
  policyAnswer: PolicyAnswer
}

export const createGatewayDouble = (): GatewayDouble => {
  const gateway: GatewayDouble = {
    state: exampleStatus(),
    table: [tcpFlow(), udpFlow(), icmpFlow()],
    stopped: false,
    broken: undefined,
    batches: [],
    listeners: [],
    captures: [],
    captureChunk: new Uint8Array(0),
    questions: [],
    traced: [],
    liveTraces: [],
    redirects: [],
    list: exampleSockets(),
    opened: [],
    async *socket() {},
    pings: [],
    pinged: [],
    commands: [],
    policyAnswer: { output: '', errors: '', exitCode: 0, file: null },
    status: () => {
      if (gateway.broken !== undefined) throw gateway.broken
      return gateway.state
    },
    *flows(filter: FlowFilter) {
      const matches = flowMatcher(filter)
      for (const flow of gateway.table) if (matches(flow)) yield flow
    },
    flowCount: () => gateway.table.length,
    deleteFlows: async (filter) => {
      const matches = flowMatcher(filter)
      const deleted = gateway.table.filter(matches)
      gateway.table = gateway.table.filter((flow) => !matches(flow))
      return deleted
    },
    async *events(request, signal) {
      if (gateway.broken !== undefined) throw gateway.broken
      const entry = { request, ended: false }
      gateway.listeners.push(entry)
      try {
        yield* gateway.batches
        if (!signal.aborted) await once(signal, 'abort')
      } finally {
        entry.ended = true
      }
    },
    async *capture(request, signal) {
      if (gateway.broken !== undefined) throw gateway.broken
      const entry = { request, ended: false }
      gateway.captures.push(entry)
      try {
        yield gateway.captureChunk
        if (request.count === 0 && !signal.aborted) await once(signal, 'abort')
      } finally {
        entry.ended = true
      }
    },
    async *redirect(request, signal) {
      if (gateway.broken !== undefined) throw gateway.broken
      const entry = { request, ended: false }
      gateway.redirects.push(entry)
      try {
        yield [{ type: 'started', ...exampleRedirect() }]
        if (!signal.aborted) await once(signal, 'abort')
        yield [{ type: 'ended', ...exampleRedirect() }]
      } finally {
        entry.ended = true
      }
    },
    trace: async (question) => {
      gateway.questions.push(question)
      return exampleTrace()
    },
    async *traceLive(request, signal) {
      if (gateway.broken !== undefined) throw gateway.broken
      const entry = { request, ended: false }
      gateway.liveTraces.push(entry)
      try {
        yield []
        for (const lines of gateway.traced) yield lines
        if (request.count === 0 && !signal.aborted) await once(signal, 'abort')
      } finally {
        entry.ended = true
      }
    },
    policy: async (request) => {
      if (gateway.broken !== undefined) throw gateway.broken
      gateway.commands.push(request)
      return gateway.policyAnswer
    },
    listSockets: () => gateway.list,
    async *openSocket(request, input, gone) {
      const entry: GatewayDouble['opened'][number] = { request, received: [], gone: false }
      gateway.opened.push(entry)
      gone.addEventListener('abort', () => (entry.gone = true))
      const noted = async function* () {
        for await (const frame of input) {
          entry.received.push(frame)
          yield frame
        }
      }
      yield* gateway.socket(noted())
    },
    async *ping(request, signal) {
      const entry = { request, ended: false }
      gateway.pings.push(entry)
      try {
        for (const line of gateway.pinged) yield [line]
        if (request.count === 0 && !signal.aborted) await once(signal, 'abort')
        yield [exampleSummary(gateway.pinged)]
      } finally {
        entry.ended = true
      }
    },
    metrics: async () => 'tsnat_up 1\n',
    stop: () => {
      gateway.stopped = true
    },
  }
  return gateway
}
