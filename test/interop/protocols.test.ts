/**
 * UDP-Lite, SCTP, GRE, ESP and other protocols between kernels, from the sockets of C programs. UDP-Lite is the kernel's own; of the
 * others the programs write all that follows the IPv4 header.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as sctp from '../../src/stack/wire/sctp.js'
import type { LabNamespace, LabProcess } from '../../src/testing/lab/index.js'
import { buildSctp } from '../../src/testing/packets.js'
import { until } from '../netns/gateway-support.js'
import { Bed, compile, GATEWAY, output, SERVER } from './support.js'

const SCTP = 132
const UDPLITE = 136
const GRE = 47
const ESP = 50
/** A tunnel of IPv6 in IPv4. */
const IN_IPV4 = 41

let program: string

class Listener {
  readonly #process: LabProcess

  private constructor(process: LabProcess) {
    this.#process = process
  }

  static async start(where: LabNamespace, protocol: number, port?: number): Promise<Listener> {
    const process = where.spawn(program, ['listen', String(protocol), ...(port === undefined ? [] : [String(port)])])
    await process.waitFor(/ready/)
    return new Listener(process)
  }

  /** Lines heard so far. */
  get heard(): string[] {
    return this.#process.stdout.split('\n').slice(1, -1)
  }

  /** Waits until so many were heard. */
  async hear(count: number): Promise<string[]> {
    await until(() => this.heard.length >= count, () => this.heard.join())
    return this.heard
  }

  async stop(): Promise<void> {
    this.#process.kill()
    await this.#process.done
  }
}

const send = async (where: LabNamespace, protocol: number, to: string, hex: string, ports: readonly number[] = []): Promise<void> =>
  void (await output(where, program, ['send', String(protocol), to, hex, ...ports.map(String)]))

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
/** An SCTP packet without its IPv4 header, which no checksum of it covers. */
const sctpHex = (sourcePort: number, destinationPort: number, type: number): string =>
  hexOf(buildSctp({ source: 0, destination: 0, sourcePort, destinationPort, chunks: [{ type, value: new Uint8Array(16) }] }).subarray(20))

/** What a host says of packets that it knows nothing of. */
const unreachables = async (where: LabNamespace): Promise<number> => Number(/IcmpInDestUnreachs\s+(\d+)/.exec(await output(where, 'nstat', ['-asz']))![1])

/** Whether a ping is answered. */
const pings = async (where: LabNamespace): Promise<boolean> => (await where.run('ping', ['-n', '-c', '1', '-W', '1', GATEWAY])).code === 0

const build = async (...flags: string[]): Promise<Bed> => {
  const bed = await Bed.build(['cc', 'nstat', 'ping'], { lan: 'inside' })
  program = compile('ip-protocol.c', bed.lab.temporaryDirectory())
  for (const namespace of [bed.gateway, bed.server]) namespace.sysctl('net.ipv4.icmp_ratelimit', 0)
  await bed.up(...flags)
  return bed
}

describe.each(['packet', 'raw'])('from inside, on the host\'s address; driver %s', (driver) => {
  let bed: Bed
  beforeAll(async () => {
    bed = await build('--wan-driver', driver)
  })
  afterAll(async () => {
    await bed.stop()
    await bed.close()
  })

  it('UDP-Lite goes out and back', async () => {
    const { client, server } = bed
    const there = await Listener.start(server, UDPLITE, 53)
    const here = await Listener.start(client, UDPLITE, 6000)
    await send(client, UDPLITE, SERVER, 'c0ffee', [40_001, 53])
    const [line] = await there.hear(1)
    const port = Number(/^203\.0\.113\.1:(\d+) c0ffee$/.exec(line!)?.[1])
    expect(port).toBeGreaterThan(0)
    // The client's listener is the owner of another port: it hears nothing of this.
    await there.stop()
    await send(server, UDPLITE, GATEWAY, 'beef', [53, port])
    await until(async () => (await bed.flows('-p', 'udplite'))[0]?.replied === true)
    const [flow] = await bed.flows('-p', '136')
    expect(flow).toMatchObject({ protocol: 'udplite', original: { sport: 40_001, dport: 53 }, reply: { dst: GATEWAY, dport: port } })
    expect(here.heard).toEqual([])
    await here.stop()
  })

  it('SCTP goes out and back, its checksum right', async () => {
    const { client, server } = bed
    const there = await Listener.start(server, SCTP)
    const here = await Listener.start(client, SCTP)
    await send(client, SCTP, SERVER, sctpHex(5000, 80, sctp.INIT))
    const [, packet = ''] = (await there.hear(1))[0]!.split(' ')
    const bytes = Buffer.from(packet, 'hex')
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    expect(sctp.checksum(view, 0)).toBe(sctp.computeChecksum(view, 0, bytes.length))
    const port = sctp.sourcePort(view, 0)
    // 5000 is not among the ports that are used beside the host's own.
    expect(port).not.toBe(5000)
    await send(server, SCTP, GATEWAY, sctpHex(80, port, sctp.INIT_ACK))
    expect(await here.hear(1)).toEqual([`${SERVER} ${sctpHex(80, 5000, sctp.INIT_ACK)}`])
    const [flow] = await bed.flows('-p', 'sctp', '--state', 'COOKIE_WAIT')
    expect(flow).toMatchObject({ protonum: SCTP, original: { sport: 5000 }, reply: { dport: port } })
    await Promise.all([there.stop(), here.stop()])
  })

  it.each([[GRE, 'gre', '0000080045000000'], [ESP, 'unknown', '0000123400000001aabb']])('protocol %i goes out and back, unchanged', async (protocol, name, hex) => {
    const { client, server } = bed
    const there = await Listener.start(server, protocol)
    const here = await Listener.start(client, protocol)
    await send(client, protocol, SERVER, hex)
    expect(await there.hear(1)).toEqual([`${GATEWAY} ${hex}`])
    const before = await unreachables(server)
    await send(server, protocol, GATEWAY, `${hex}cc`)
    expect(await here.hear(1)).toEqual([`${SERVER} ${hex}cc`])
    const [flow] = await bed.flows('-p', String(protocol))
    expect(flow).toMatchObject({ protocol: name, protonum: protocol, replied: true })
    // The gateway's kernel, which got it too, has not said that it knows no such protocol.
    expect(await unreachables(server)).toBe(before)
    await Promise.all([there.stop(), here.stop()])
  })

  it('a protocol that is not translated is refused at once', async () => {
    const before = await unreachables(bed.client)
    await send(bed.client, IN_IPV4, SERVER, '6000000000003b40')
    await until(async () => (await unreachables(bed.client)) === before + 1)
    expect((await bed.status()).drops).toMatchObject({ 'protocol-refused': 1 })
  })

  it('the status counts them', async () => {
    expect((await bed.status()).flows).toMatchObject({ udp: 1, sctp: 1, gre: 1, other: 1 })
    expect((await bed.tsnat('status')).stdout).toMatch(/UDP 1, ICMP 0, SCTP 1, GRE 1, other 1\)/)
  })
})

describe('forwards', () => {
  const INSIDE = '10.77.0.2'
  const FLAGS = ['--forward', `udplite:9000:${INSIDE}:90`, '--forward', `sctp:8080:${INSIDE}:80`, '--forward', `esp:${INSIDE}`, '--forward', `41:${INSIDE}@203.0.113.0/24`]

  const expectForwards = async ({ client, server }: Bed): Promise<void> => {
    const lite = await Listener.start(client, UDPLITE, 90)
    await send(server, UDPLITE, GATEWAY, 'abcd', [77, 9000])
    expect(await lite.hear(1)).toEqual([`${SERVER}:77 abcd`])
    const before = await unreachables(server)
    const SENT = [[SCTP, sctpHex(7, 8080, sctp.INIT), sctpHex(7, 80, sctp.INIT)], [ESP, '0000123400000001', '0000123400000001'], [IN_IPV4, '60000000', '60000000']] as const
    for (const [protocol, outside, inside] of SENT) {
      const listener = await Listener.start(client, protocol)
      await send(server, protocol, GATEWAY, outside)
      expect(await listener.hear(1)).toEqual([`${SERVER} ${inside}`])
      await listener.stop()
    }
    expect(await unreachables(server)).toBe(before)
    await lite.stop()
  }

  it.each(['packet', 'raw'])('of all protocols lead to the inside; driver %s', async (driver) => {
    const bed = await build('--wan-driver', driver, ...FLAGS)
    try {
      await expectForwards(bed)
      await bed.stop()
    } finally {
      await bed.close()
    }
  })

  it('of pings: the inside host answers instead of this one, to those whom the forward is for', async () => {
    const bed = await build('--forward', `icmp:${INSIDE}@203.0.113.9/32`)
    try {
      const { client, server } = bed
      await server.address('eth0', '203.0.113.77/24')
      expect(await pings(server)).toBe(true)
      const [flow] = await bed.flows('-p', 'icmp')
      expect(flow).toMatchObject({ original: { src: SERVER, dst: GATEWAY, type: 8 }, reply: { src: INSIDE, packets: 1 } })
      client.sysctl('net.ipv4.icmp_echo_ignore_all', 1)
      expect(await pings(server)).toBe(false)
      // Another sender gets its answer from the host.
      expect((await server.run('ping', ['-n', '-c', '1', '-W', '1', '-I', '203.0.113.77', GATEWAY])).code).toBe(0)
      await bed.stop()
    } finally {
      await bed.close()
    }
  })

  it('on an address of tsnat\'s own, pings too', async () => {
    const OWNED = '203.0.113.50'
    const bed = await build('--wan-address', `owned:${OWNED}/24`, '--forward', `icmp:${INSIDE}`, '--forward', `gre:${INSIDE}`)
    try {
      const { client, server } = bed
      const listener = await Listener.start(client, GRE)
      await send(server, GRE, OWNED, '00000800aa')
      expect(await listener.hear(1)).toEqual([`${SERVER} 00000800aa`])
      expect((await server.run('ping', ['-n', '-c', '1', '-W', '1', OWNED])).code).toBe(0)
      expect(await bed.flows('-p', 'icmp')).toHaveLength(1)
      client.sysctl('net.ipv4.icmp_echo_ignore_all', 1)
      expect((await server.run('ping', ['-n', '-c', '1', '-W', '1', OWNED])).code).not.toBe(0)
      await listener.stop()
      await bed.stop()
    } finally {
      await bed.close()
    }
  })
})
