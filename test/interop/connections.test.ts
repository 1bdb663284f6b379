/** Many short TCP connections, one long idle one, and which external ports they all get. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { LabNamespace, LabProcess } from '../../src/testing/lab/index.js'
import { Bed, GATEWAY, output, requests, SERVER } from './support.js'

/** Another address of the server. */
const SECOND = '203.0.113.10'

/** Answers each connection and each datagram with the address and port that it came from; an idle connection stays. */
const SERVER_PROGRAM = `
  import { createServer } from 'node:net'
  import { createSocket } from 'node:dgram'
  const answer = (address) => new Promise((up) => {
    const socket = createSocket('udp4', (_, { address, port }) => socket.send(address + ' ' + port, port, address))
    socket.bind(7000, address, up)
  })
  await answer('${SERVER}')
  await answer('${SECOND}')
  createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', (data) => {
      if (String(data) === 'stay') socket.write('staying')
      else socket.end(socket.remoteAddress.replace('::ffff:', '') + ' ' + socket.remotePort)
    })
  }).listen(7000, '0.0.0.0', 4096, () => console.log('up'))`

/** Connects COUNT times, 100 at once; prints a line for each: local port, then what the server saw. */
const CLIENT_PROGRAM = `
  import { connect } from 'node:net'
  const [count] = process.argv.slice(1).map(Number)
  let begun = 0
  const one = () => {
    if (begun++ >= count) return
    let port = 0, text = ''
    const socket = connect(7000, '${SERVER}', () => { port = socket.localPort; socket.write('x') })
    socket.on('data', (data) => { text += data })
    socket.on('error', ({ code }) => console.log('error ' + code))
    socket.on('close', () => { console.log(port + ' ' + text); one() })
  }
  for (let i = 0; i < 100; i++) one()`

let bed: Bed

const build = async (...flags: string[]): Promise<void> => {
  bed = await Bed.build(['nc', 'ping'])
  await bed.client.address('eth0', '192.168.1.3/24')
  await bed.server.address('eth0', `${SECOND}/24`)
  await bed.server.node(SERVER_PROGRAM).waitFor(/up/)
  await bed.up(...flags)
}
const end = async (): Promise<void> => {
  await bed.stop()
  await bed.close()
}

interface Ask {
  protocol?: 'tcp' | 'udp'
  from?: string
  port: number
  to?: string
}

/** The external address and port that the server sees of a connection or datagram. */
const seenOf = async ({ protocol = 'tcp', from = '192.168.1.2', port, to = SERVER }: Ask): Promise<string> => {
  const transport = protocol === 'udp' ? ['-u', '-W1'] : []
  return (await output(bed.client, 'nc', ['-w2', ...transport, '-s', from, '-p', String(port), to, '7000'], { input: 'x', timeout: 5000 })).trim()
}

/** Port ranges of the status, `512-599,36864-60999`, as pairs. */
const allowedRanges = async (): Promise<number[][]> => (await bed.status()).wans[0]!.ports.split(',').map((range) => range.split('-').map(Number))
const isIn = (ranges: number[][], port: number): boolean => ranges.some(([first, last]) => port >= first! && port <= (last ?? first!))

describe('on an address shared with the host', () => {
  beforeAll(() => build())
  afterAll(end)

  describe('an idle connection', () => {
    let idle: LabProcess
    const listed = async (): Promise<{ line: string; timeout: number }> => {
      const line = (await bed.tsnat('conntrack', '-L', '-p', 'tcp', '--state', 'ESTABLISHED')).stdout.trimEnd()
      return { line, timeout: Number(/^tcp {6}6 (\d+) /.exec(line)?.[1]) }
    }

    it('is listed as conntrack lists it, counts down from 7440 s, and stays usable', async () => {
      idle = bed.client.spawn('nc', ['-p', '41000', SERVER, '7000'], { interactive: true })
      idle.write('stay')
      await idle.waitFor(/^staying$/)
      const first = await listed()
      expect(first.line).toMatch(new RegExp(`^tcp      6 74[34]\\d ESTABLISHED src=192\\.168\\.1\\.2 dst=203\\.0\\.113\\.9 sport=41000 dport=7000 packets=\\d+ bytes=\\d+ `
        + `src=203\\.0\\.113\\.9 dst=203\\.0\\.113\\.1 sport=7000 dport=41000 packets=\\d+ bytes=\\d+ \\[ASSURED\\] mark=0 use=1$`))
      expect(first.timeout).toBeGreaterThanOrEqual(7435)
      await sleep(5000)
      const second = await listed()
      expect(first.timeout - second.timeout).toBeGreaterThanOrEqual(4)
      expect(first.timeout - second.timeout).toBeLessThanOrEqual(8)
      idle.write('stay')
      await idle.waitFor(/^stayingstaying$/)
      expect((await listed()).timeout).toBeGreaterThanOrEqual(7435)
    }, 30_000)

    it('ends for the client when its flow is deleted: nothing comes back', async () => {
      expect((await bed.tsnat('conntrack', '-D', '-p', 'tcp', '--sport', '41000')).stdout.split('\n')).toHaveLength(2)
      expect((await listed()).line).toBe('')
      idle.kill()
    })
  })

  it.each(['tcp', 'udp'] as const)('%s: a free source port in range is kept, another is replaced by one of its class', async (protocol) => {
    const ranges = await allowedRanges()
    expect(await seenOf({ protocol, port: 40000 })).toBe(`${GATEWAY} 40000`)
    expect(await seenOf({ protocol, port: 550 })).toBe(`${GATEWAY} 550`)
    for (const [port, isLow] of [[33000, false], [62000, false], [2000, false], [100, true], [700, true]] as const) {
      const [address, external] = (await seenOf({ protocol, port })).split(' ')
      expect(address).toBe(GATEWAY)
      expect(isIn(ranges, Number(external))).toBe(true)
      expect(Number(external) < 1024).toBe(isLow)
    }
  })

  it.each(['tcp', 'udp'] as const)('%s: two clients with one source port get two external ports, each the same to every server', async (protocol) => {
    const first = await seenOf({ protocol, port: 42000 })
    const second = await seenOf({ protocol, port: 42000, from: '192.168.1.3' })
    expect(first).toBe(`${GATEWAY} 42000`)
    expect(second).not.toBe(first)
    const listed = await bed.flows('-p', protocol, '-s', '192.168.1.3', '--sport', '42000')
    expect(listed.map(({ reply }) => `${reply.dst} ${reply.dport}`)).toEqual([second])
    expect(await seenOf({ protocol, port: 42000, from: '192.168.1.3', to: SECOND })).toBe(second)
  })

  it('pings of two clients with one identifier are told apart', async () => {
    const ping = (from: string): Promise<string> => output(bed.client, 'ping', [...requests(3), '-e', '4711', '-I', from, SERVER])
    for (const text of await Promise.all([ping('192.168.1.2'), ping('192.168.1.3')])) expect(text).toContain('3 received')
    const flows = await bed.flows('-p', 'icmp')
    expect(flows.map(({ original }) => [original.src, original.id]).sort()).toEqual([['192.168.1.2', 4711], ['192.168.1.3', 4711]])
    const external = flows.map(({ reply }) => reply.id)
    // The host's own pings must not mistake them for theirs.
    expect(external).not.toContain(4711)
    expect(new Set(external).size).toBe(2)
  })

  it('the host goes on with connections of its own through the same address', async () => {
    const own = (where: LabNamespace): Promise<string> => output(where, 'nc', ['-w2', SERVER, '7000'], { input: 'x', timeout: 5000 })
    const ranges = await allowedRanges()
    for (let round = 0; round < 20; round++) {
      const [address, port] = (await own(bed.gateway)).split(' ')
      expect(address).toBe(GATEWAY)
      expect(isIn(ranges, Number(port))).toBe(false)
    }
  })

  it('2000 short connections all succeed, and the table holds each of them', async () => {
    await bed.tsnat('conntrack', '-D')
    const { stdout } = await bed.client.node(CLIENT_PROGRAM, ['2000']).finish({ timeout: 40_000, check: true })
    const seen = stdout.trimEnd().split('\n').map((line) => line.split(' '))
    expect(seen).toHaveLength(2000)
    expect(seen.filter(([, address]) => address !== GATEWAY)).toEqual([])
    const ranges = await allowedRanges()
    const out = seen.map(([inside, , external]) => [Number(inside), Number(external)] as const)
    expect(out.filter(([, external]) => !isIn(ranges, external))).toEqual([])
    // A source port in range is kept, unless another connection was given it whose own was out of range.
    const given = new Set(out.filter(([inside, external]) => inside !== external).map(([, external]) => external))
    expect(out.filter(([inside, external]) => inside !== external && isIn(ranges, inside) && !given.has(inside))).toEqual([])

    const flows = await bed.flows('-p', 'tcp')
    // The client's kernel may use a source port again once the server has closed, and then it is the same flow.
    const insidePorts = new Set(out.map(([inside]) => inside))
    expect(flows).toHaveLength(insidePorts.size)
    expect(insidePorts.size).toBeGreaterThan(1500)
    const { flows: counts } = await bed.status()
    expect([await bed.flowCount(), counts.count, counts.tcp]).toEqual(Array(3).fill(flows.length))
    for (const { replied, assured, timeout } of flows) {
      expect([replied, assured]).toEqual([true, true])
      expect(timeout).toBeLessThanOrEqual(240)
    }
  }, 60_000)
})

describe('a connection that is older than the gateway', () => {
  afterAll(end)

  it.each([true, false])('TCP-11, CT-6: with nat.tcp.pickup=%s', async (pickup) => {
    if (pickup) await build()
    else await bed.up()
    const port = pickup ? '41000' : '41001'
    const old = bed.client.spawn('nc', ['-p', port, SERVER, '7000'], { interactive: true })
    old.write('stay')
    await old.waitFor(/^staying$/)
    await bed.stop()
    await bed.up('--nat', `tcp.pickup=${pickup}`)
    expect(await bed.flowCount()).toBe(0)
    old.write('stay')
    if (pickup) {
      await old.waitFor(/^stayingstaying$/)
      old.write('stay')
      await old.waitFor(/^(staying){3}$/)
      expect(await bed.flows('-p', 'tcp')).toMatchObject([{ state: 'ESTABLISHED', assured: true, reply: { dport: 41000 } }])
      expect((await bed.status()).drops).toEqual({})
      await bed.stop()
    } else {
      await expect.poll(async () => (await bed.status()).drops['not-a-flow-opener'] ?? 0, { timeout: 10_000 }).toBeGreaterThan(0)
      expect(await bed.flowCount()).toBe(0)
    }
    old.kill()
  }, 60_000)
})

describe('on an address of its own', () => {
  beforeAll(() => build('--wan-address', 'owned:203.0.113.20/24', '--wan-gateway', SERVER))
  afterAll(end)

  it.each(['tcp', 'udp'] as const)('%s: every free source port is kept', async (protocol) => {
    for (const port of [80, 700, 2000, 33000, 40000, 65535]) expect(await seenOf({ protocol, port })).toBe(`203.0.113.20 ${port}`)
    expect(await seenOf({ protocol, port: 2000, from: '192.168.1.3' })).not.toBe('203.0.113.20 2000')
  })

  it('answers ARP and so gets pings back', async () => {
    expect(await output(bed.client, 'ping', [...requests(3), SERVER])).toContain('3 received')
  })
})
