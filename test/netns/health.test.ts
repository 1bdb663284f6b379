/**
 * Health checks between real kernels: a host with two uplinks, a provider behind each, and the same server address behind both.
 *
 *     provider a 203.0.113.254 ── eth0 203.0.113.1  host  198.51.100.1 eth1 ── 198.51.100.254 provider b
 *
 * The kernel of the host routes by provider a only, and its reverse path filter is strict.
 */
import { readdirSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { HealthChecker } from '../../src/control/health/index.js'
import type { HealthCheck, ProbeLink } from '../../src/control/health/index.js'
import { namespaceId } from '../../src/host/namespace.js'
import { native } from '../../src/native.js'
import { parseIpv4 } from '../../src/stack/wire/address.js'
import { Lab } from '../../src/testing/lab/index.js'
import type { LabNamespace, LabProcess } from '../../src/testing/lab/index.js'
import { requests } from '../interop/support.js'
import { Capture, GATEWAY, GatewayLab, REMOTE, SERVER, serveHttp, until } from './gateway-support.js'

const SHARED = '192.0.2.1'

/** Answers on port 80: with the status that the path names, `/hang` never. */
const STATUS_SERVER = `
  import { createServer } from 'node:http'
  const [, only] = process.argv
  createServer(({ url }, answer) => {
    if (url === '/hang') return
    answer.writeHead(Number(only ?? url.slice(1)), { location: '/' })
    answer.end('x'.repeat(100_000))
  }).listen(80, '0.0.0.0', () => console.log('serving'))`

const serve = async (where: LabNamespace, ...args: string[]): Promise<LabProcess> => {
  const server = where.node(STATUS_SERVER, args)
  await server.waitFor(/serving/)
  return server
}

const linkOf = (host: LabNamespace, name: string, source: string, gateway: string | null): ProbeLink => ({
  name,
  namespace: { label: host.name, path: host.path, id: namespaceId(host.path), run: host.inside.bind(host), close: () => {} },
  ifindex: () => host.inside(() => native().interfaceIndex(name)),
  source: () => parseIpv4(source),
  gateway: () => (gateway === null ? null : parseIpv4(gateway)),
})

const running = new Set<HealthChecker>()
afterEach(() => {
  for (const checker of running) checker.stop()
  running.clear()
})

const ICMP_AT = 34
/** What is wrong with a reply, one thing each. Addresses of bytes are counted from the Ethernet header. */
const FORGERIES: readonly ((frame: DataView) => void)[] = [
  (frame) => frame.setUint16(ICMP_AT + 4, frame.getUint16(ICMP_AT + 4) ^ 1),
  (frame) => frame.setUint16(ICMP_AT + 6, frame.getUint16(ICMP_AT + 6) ^ 1),
  (frame) => frame.setInt32(ICMP_AT + 8, ~frame.getInt32(ICMP_AT + 8)),
  (frame) => frame.setInt32(ICMP_AT + 12, ~frame.getInt32(ICMP_AT + 12)),
  (frame) => frame.setUint8(29, frame.getUint8(29) ^ 1),
  (frame) => frame.setUint8(ICMP_AT, 8),
  (frame) => frame.setUint16(16, 28),
  (frame) => frame.setUint16(20, 1),
]

/** Answers echo requests in the place of a kernel that does not: wrongly, each time in another way, or as it should. */
class Forger {
  honest = false
  replies = 0
  readonly #fd: number
  readonly #watch: object

  constructor(where: LabNamespace, device: string) {
    const slab = new Uint8Array(1 << 18)
    const [at, length, result] = [new Int32Array(1), new Int32Array(1), new Int32Array(3)]
    const index = where.index(device)
    this.#fd = where.inside(() => native().packetOpen(index, false, false, new Uint8Array(), 0))
    this.#watch = native().watchOpen(this.#fd, () => {
      if (native().readBatch(this.#fd, true, slab, 0, slab.length, 14, at, length, 1) === 1) {
        const frame = new DataView(slab.buffer, at[0]! - 14, length[0]! + 14)
        if (frame.getUint16(12) === 0x0800 && frame.getUint8(23) === 1 && frame.getUint8(ICMP_AT) === 8) {
          this.#turn(frame)
          native().writeBatch(this.#fd, true, slab, 14, at, length, 1, result, 0)
        }
      }
      native().watchRearm(this.#watch)
    })
  }

  #turn(frame: DataView): void {
    for (const [one, other, size] of [[0, 6, 6], [26, 30, 4]] as const) {
      for (let index = 0; index < size; index++) {
        const byte = frame.getUint8(one + index)
        frame.setUint8(one + index, frame.getUint8(other + index))
        frame.setUint8(other + index, byte)
      }
    }
    frame.setUint8(ICMP_AT, 0)
    if (!this.honest) FORGERIES[this.replies++ % FORGERIES.length]!(frame)
  }

  close(): void {
    native().watchClose(this.#watch)
    native().close(this.#fd)
  }
}

interface Checked {
  readonly checker: HealthChecker
  readonly changes: [alive: boolean, reason: string][]
  /** Waits for a state, and gives its error. */
  becomes(alive: boolean): Promise<string | null>
  /** Waits for an answer from now on. */
  answers(): Promise<void>
}

const start = (link: ProbeLink, more: Partial<HealthCheck> & Pick<HealthCheck, 'type'>): Checked => {
  const changes: [boolean, string][] = []
  const checker = new HealthChecker({
    link,
    check: { interval: 0.1, timeout: 0.5, fails: 2, passes: 2, ...more },
    onChange: (alive, reason) => changes.push([alive, reason]),
  })
  running.add(checker)
  checker.start()
  return {
    checker,
    changes,
    becomes: async (alive) => {
      await until(() => checker.state.alive === alive, () => JSON.stringify(checker.state))
      return checker.state.error
    },
    answers: async () => {
      const { answers } = checker.state
      await until(() => checker.state.answers > answers, () => JSON.stringify(checker.state))
    },
  }
}

describe('health checks', () => {
  let lab: Lab
  let [host, a, b]: LabNamespace[] = []
  let [eth0, eth1]: ProbeLink[] = []

  beforeEach(async () => {
    lab = await Lab.create(`health${process.pid}`)
    host = await lab.namespace('host')
    a = await lab.namespace('a')
    b = await lab.namespace('b')
    await lab.link(host, { name: 'eth0', address: '203.0.113.1/24' }, a, { name: 'p0', address: '203.0.113.254/24' })
    await lab.link(host, { name: 'eth1', address: '198.51.100.1/24' }, b, { name: 'p0', address: '198.51.100.254/24' })
    for (const provider of [a, b]) await provider.address('lo', `${SHARED}/32`)
    await host.route('default', '203.0.113.254')
    for (const which of ['all', 'eth0', 'eth1']) host.sysctl(`net.ipv4.conf.${which}.rp_filter`, 1)
    for (const provider of [a, b]) provider.sysctl('net.ipv4.icmp_ratelimit', 0)
    eth0 = linkOf(host, 'eth0', '203.0.113.1', '203.0.113.254')
    eth1 = linkOf(host, 'eth1', '198.51.100.1', '198.51.100.254')
  })
  afterEach(() => lab.close())

  /** What provider b sees of a check on eth1, by the filter. */
  const seenByB = async (filter: string, act: () => Promise<void>): Promise<string[]> => {
    const capture = await Capture.start(b!, `${lab.temporaryDirectory()}/b.pcap`, 'p0')
    await act()
    await capture.stop()
    return await capture.packets(filter)
  }

  /** Gives the kernel of the host a second default route, and lets answers come in by it. */
  const routeByEth1 = async (): Promise<void> => {
    await host!.route('default', '198.51.100.254', { metric: 200 })
    for (const which of ['all', 'eth1']) host!.sysctl(`net.ipv4.conf.${which}.rp_filter`, 2)
  }

  it('arp: asks the gateway, and notices when it is gone and when it is back', async () => {
    const { changes, becomes, answers, checker } = start(eth1!, { type: 'arp' })
    await answers()
    expect(checker.state.milliseconds).toBeGreaterThan(0)
    await b!.deleteAddress('p0', '198.51.100.254/24')
    expect(await becomes(false)).toBe('198.51.100.254 does not answer ARP')
    await b!.address('p0', '198.51.100.254/24')
    await becomes(true)
    expect(changes).toEqual([
      [false, expect.stringMatching(/^2 misses in a row: 198\.51\.100\.254 does not answer ARP$/) as string],
      [true, '2 answers in a row from the gateway'],
    ])
  })

  it('icmp: pings the gateway of its own link when no target is given', async () => {
    const checked = [start(eth0!, { type: 'icmp' }), start(eth1!, { type: 'icmp' })]
    await Promise.all(checked.map(({ answers }) => answers()))
    b!.sysctl('net.ipv4.icmp_echo_ignore_all', 1)
    expect(await checked[1]!.becomes(false)).toBe('no answer from 198.51.100.254')
    await checked[0]!.answers()
    expect(checked[0]!.checker.state.alive).toBe(true)
  })

  it('icmp: reaches a far target by its link, whatever the kernel routes and filters', async () => {
    const packets = await seenByB(`icmp and host ${SHARED}`, async () => {
      await start(eth1!, { type: 'icmp', target: SHARED }).answers()
    })
    expect(packets[0]).toContain(`IP 198.51.100.1 > ${SHARED}: ICMP echo request`)
    expect(packets[1]).toContain(`IP ${SHARED} > 198.51.100.1: ICMP echo reply`)
  })

  it('icmp: asks a target on the link directly', async () => {
    await b!.address('p0', '198.51.100.77/24')
    await start(eth1!, { type: 'icmp', target: '198.51.100.77' }).answers()
    const known = await host!.run('ip', ['neigh', 'show'])
    expect(known.stdout).not.toContain('198.51.100.77')
  })

  it('icmp: takes an unreachable for an answer that says no', async () => {
    await b!.deleteAddress('lo', `${SHARED}/32`)
    const { becomes, checker } = start(eth1!, { type: 'icmp', target: SHARED, timeout: 30 })
    b!.sysctl('net.ipv4.ip_forward', 1)
    expect(await becomes(false)).toBe(`198.51.100.254 says that ${SHARED} cannot be reached`)
    expect(checker.state.milliseconds).toBe(null)
  })

  it('icmp: takes only the reply to its own request for an answer', async () => {
    b!.sysctl('net.ipv4.icmp_echo_ignore_all', 1)
    const forger = new Forger(b!, 'p0')
    const { becomes, answers, changes, checker } = start(eth1!, { type: 'icmp', timeout: 0.15, fails: FORGERIES.length })
    expect(await becomes(false)).toBe('no answer from 198.51.100.254')
    expect(forger.replies).toBeGreaterThanOrEqual(FORGERIES.length)
    forger.honest = true
    await answers()
    checker.stop()
    forger.close()
    expect(changes).toHaveLength(1)
  })

  it('icmp: works without Ethernet headers, where arp has nobody to ask', async () => {
    await lab.line(host!, { name: 'ppp0', address: '10.9.0.1/24' }, a!, { name: 'ppp0', address: '10.9.0.2/24' })
    const ppp0 = linkOf(host!, 'ppp0', '10.9.0.1', null)
    await start(ppp0, { type: 'icmp', target: '10.9.0.2' }).answers()
    expect(await start(ppp0, { type: 'icmp' }).becomes(false)).toBe('ppp0 has no gateway to ask')
    expect(await start(ppp0, { type: 'arp', target: '10.9.0.2' }).becomes(false)).toBe('ppp0 has no Ethernet addresses to ask for')
  })

  it('tcp: connects by its link with its address, and notices a server that is gone', async () => {
    await routeByEth1()
    await serveHttp(a!)
    const server = await serveHttp(b!)
    let checked: Checked | undefined
    const packets = await seenByB('tcp', async () => {
      checked = start(eth1!, { type: 'tcp', target: `${SHARED}:80` })
      await checked.answers()
    })
    expect(packets[0]).toMatch(new RegExp(`IP 198\\.51\\.100\\.1\\.\\d+ > ${SHARED}\\.80: Flags \\[S\\]`))
    server.kill()
    await server.done
    expect(await checked!.becomes(false)).toBe(`${SHARED}:80: the connection is refused`)
    await serveHttp(b!)
    await checked!.becomes(true)
  })

  it('tcp: a target that swallows what it gets is missed when the time is over', async () => {
    await routeByEth1()
    await serveHttp(b!)
    const { becomes, answers } = start(eth1!, { type: 'tcp', target: `${SHARED}:80`, timeout: 0.3 })
    await answers()
    await b!.run('nft', ['-f', '-'], { input: 'table ip t {\n chain c {\n type filter hook input priority 0;\n tcp dport 80 drop\n }\n}\n', check: true })
    expect(await becomes(false)).toBe(`no answer from ${SHARED}:80`)
    await b!.run('nft', ['delete', 'table', 'ip', 't'], { check: true })
    await becomes(true)
  })

  it('tcp: needs a route of the kernel by its link, and a reverse path filter that is not strict', async () => {
    await serveHttp(b!)
    const { becomes } = start(eth1!, { type: 'tcp', target: `${SHARED}:80`, timeout: 0.3 })
    expect(await becomes(false)).toBe(`no answer from ${SHARED}:80`)
    await host!.route('default', '198.51.100.254', { metric: 200 })
    const { becomes: filtered } = start(eth1!, { type: 'tcp', target: `${SHARED}:80`, timeout: 0.3 })
    expect(await filtered(false)).toBe(`no answer from ${SHARED}:80`)
    await routeByEth1()
    await becomes(true)
  })

  it('tcp: says what stands in the way of the socket', async () => {
    const { becomes } = start(linkOf(host!, 'eth1', '198.51.100.99', '198.51.100.254'), { type: 'tcp', target: `${SHARED}:80` })
    expect(await becomes(false)).toBe(`${SHARED}:80: the kernel does not have the source address`)
  })

  it('http: counts 2xx and 3xx, or the status that is expected', async () => {
    await routeByEth1()
    await serve(b!)
    const check = (path: string, expectStatus?: number): Checked =>
      start(eth1!, { type: 'http', target: `http://${SHARED}/${path}`, ...(expectStatus === undefined ? {} : { expect: expectStatus }) })
    await Promise.all([check('200'), check('204'), check('302'), check('500', 500)].map(({ answers }) => answers()))
    expect(await check('500').becomes(false)).toBe(`http://${SHARED}/500 answers with status 500`)
    expect(await check('404').becomes(false)).toBe(`http://${SHARED}/404 answers with status 404`)
    expect(await check('200', 204).becomes(false)).toBe(`http://${SHARED}/200 answers with status 200`)
  })

  it('http: a server that hangs is missed when the time is over', async () => {
    await routeByEth1()
    await serve(b!)
    const { becomes } = start(eth1!, { type: 'http', target: `http://${SHARED}/hang`, timeout: 0.3 })
    expect(await becomes(false)).toBe(`no answer from http://${SHARED}/hang, which accepted the connection`)
  })

  it('finds two links with different answers to one question', async () => {
    await routeByEth1()
    await serve(a!, '200')
    await serve(b!, '503')
    const [first, second] = [eth0!, eth1!].map((link) => start(link, { type: 'http', target: `http://${SHARED}/` }))
    expect(await second!.becomes(false)).toBe(`http://${SHARED}/ answers with status 503`)
    await first!.answers()
    expect([first!.checker.state.alive, first!.changes]).toEqual([true, []])
  })

  it('notices a pulled cable, and its return', async () => {
    await routeByEth1()
    await serveHttp(b!)
    const checked = [
      start(eth1!, { type: 'arp' }), start(eth1!, { type: 'icmp', target: SHARED }),
      start(eth1!, { type: 'tcp', target: `${SHARED}:80` }), start(eth1!, { type: 'http', target: `http://${SHARED}/` }),
    ]
    await Promise.all(checked.map(({ answers }) => answers()))
    await b!.down('p0')
    await Promise.all(checked.map(({ becomes }) => becomes(false)))
    await b!.up('p0')
    await Promise.all(checked.map(({ becomes }) => becomes(true)))
    for (const { changes } of checked) expect(changes.map(([alive]) => alive)).toEqual([false, true])
  })

  it('notices an interface that is down, removed and made again', async () => {
    const { becomes, answers, checker } = start(eth1!, { type: 'icmp' })
    await answers()
    await host!.down('eth1')
    expect(await becomes(false)).toMatch(/down|does not answer|nothing can be sent: ENETDOWN/)
    await host!.run('ip', ['link', 'del', 'eth1'], { check: true })
    await until(() => checker.state.error === 'there is no interface eth1', () => checker.state.error)
    await lab.link(host!, { name: 'eth1', address: '198.51.100.1/24' }, b!, { name: 'p0', address: '198.51.100.254/24' })
    await becomes(true)
  })

  it('leaves no descriptor and no thread behind, however attempts end', async () => {
    await serve(a!)
    const count = (): [number, number] => [readdirSync('/proc/self/fd').length, readdirSync('/proc/self/task').length]
    const round = async (): Promise<void> => {
      const checked = [
        start(eth0!, { type: 'arp' }), start(eth0!, { type: 'icmp' }), start(eth0!, { type: 'tcp', target: `${SHARED}:80` }),
        start(eth0!, { type: 'http', target: `http://${SHARED}/500` }), start(eth0!, { type: 'http', target: `http://${SHARED}/hang`, timeout: 0.1 }),
        start(eth0!, { type: 'tcp', target: `${SHARED}:81` }), start(eth0!, { type: 'arp', target: '203.0.113.9', timeout: 0.1 }),
      ]
      await until(() => checked.every(({ checker: { state } }) => state.answers + state.misses >= 3))
      for (const { checker } of checked) checker.stop()
    }
    await round()
    await new Promise((resolve) => setTimeout(resolve, 100))
    const before = count()
    await round()
    await until(() => count().every((now, index) => now <= before[index]!), () => `${String(before)} became ${String(count())}`)
  })
})

describe('health checks beside a gateway', () => {
  let bed: GatewayLab
  beforeEach(async () => {
    bed = await GatewayLab.create()
    await serveHttp(bed.server)
  })
  afterEach(() => bed.close())

  const everyOther = async (link: ProbeLink, types: readonly HealthCheck['type'][]): Promise<void> => {
    const targets = { icmp: REMOTE, arp: SERVER, tcp: `${REMOTE}:80`, http: `http://${REMOTE}/`, none: '' }
    const checked = types.map((type) => start(link, { type, target: targets[type], timeout: 2 }))
    let isDone = false
    const check = async (): Promise<void> => {
      try {
        await until(() => checked.every(({ checker }) => checker.state.answers >= 5), () => JSON.stringify(checked.map(({ checker }) => checker.state)))
      } finally {
        isDone = true
      }
    }
    const ping = async (): Promise<void> => {
      while (!isDone) expect((await bed.client.run('ping', [...requests(5), REMOTE])).stdout).toContain('5 packets transmitted, 5 received, 0% packet loss')
    }
    await Promise.all([check(), ping()])
    expect(checked.map(({ checker }) => checker.state.misses)).toEqual(types.map(() => 0))
  }

  it('are answered on an address that it shares with the host, and hinder nobody', async () => {
    await bed.up()
    await everyOther(linkOf(bed.gateway, 'eth0', GATEWAY, SERVER), ['arp', 'icmp', 'tcp', 'http'])
  })

  it('are answered with this host captured', async () => {
    await bed.up('--capture', 'default')
    const checked = (['icmp', 'tcp', 'http'] as const).map((type) => start(linkOf(bed.gateway, 'eth0', GATEWAY, SERVER), {
      type, target: { icmp: REMOTE, tcp: `${REMOTE}:80`, http: `http://${REMOTE}/` }[type],
    }))
    await until(() => checked.every(({ checker }) => checker.state.answers >= 5), () => JSON.stringify(checked.map(({ checker }) => checker.state)))
    expect(await bed.flows()).toEqual([])
  })

  it('by arp and icmp are answered on an address that is the gateway\'s alone', async () => {
    await bed.up('--wan-address', 'owned:203.0.113.50/24')
    await everyOther(linkOf(bed.gateway, 'eth0', '203.0.113.50', SERVER), ['arp', 'icmp'])
  })
})
