/** `up --wan-driver raw`: real programs through raw sockets, on links with and without Ethernet headers. */
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { LabProcess } from '../../src/testing/lab/index.js'
import { randomFile, sha256 } from '../interop/files.js'
import { startNginx } from '../interop/nginx.js'
import { Bed, GATEWAY, output, requests, SERVER } from '../interop/support.js'

describe.each([
  { link: 'a veth', headerless: false, size: 64 << 20 },
  { link: 'a link without Ethernet headers', headerless: true, size: 8 << 20 },
])('the raw driver on $link', ({ headerless, size }) => {
  let bed: Bed
  let files: string
  let local: string
  let before: string[]
  /** RST and port-unreachable that leave the gateway host. */
  let answers: LabProcess

  beforeAll(async () => {
    bed = await Bed.build(['curl', 'nginx', 'dnsmasq', 'dig', 'ping', 'tcpdump', 'traceroute', 'nc'], { headerless })
    files = await startNginx(bed.server, bed.lab.temporaryDirectory())
    local = bed.lab.temporaryDirectory()
    const long = Array.from({ length: 12 }, (_, index) => `--txt-record=long.example.test,${String(index).padStart(200, '0')}`)
    const names = bed.server.spawn('dnsmasq', [
      '--keep-in-foreground', '--log-facility=-', '--no-resolv', '--no-hosts', '--user=root', `--pid-file=${join(local, 'pid')}`,
      '--address=/example.test/198.51.100.7', '--listen-address', SERVER, '--bind-interfaces', '--edns-packet-max=4096', ...long,
    ])
    await names.waitFor(/started/)
    const filter = `src host ${GATEWAY} and (icmp[icmptype] = icmp-unreach or tcp[tcpflags] & tcp-rst != 0)`
    answers = bed.server.spawn('tcpdump', ['-nnli', 'eth0', filter])
    await answers.waitFor(/listening on/)
    before = await bed.gateway.snapshot()
    await bed.up('--wan-driver', 'raw')
  })
  afterAll(async () => {
    await bed.stop()
    expect(await bed.gateway.snapshot()).toEqual(before)
    await bed.close()
  })

  const curl = (...args: string[]): Promise<string> =>
    output(bed.client, 'curl', ['--silent', '--show-error', '--fail', '--max-time', '50', ...args])

  it('says that it is the raw driver', async () => {
    expect((await bed.status()).wans[0]!).toMatchObject({ driver: 'raw', address: GATEWAY })
  })

  it('carries ping, larger than the MTU too', async () => {
    expect(await output(bed.client, 'ping', [...requests(5), SERVER])).toContain('5 received')
    expect(await output(bed.client, 'ping', [...requests(3), '-s', '5000', SERVER])).toContain('3 received')
  })

  it('carries a file down and up', async () => {
    const wanted = randomFile(join(files, 'big'), size)
    await curl('--output', join(local, 'big'), `http://${SERVER}/big`)
    expect(await sha256(join(local, 'big'))).toBe(wanted)
    await curl('--upload-file', join(local, 'big'), `http://${SERVER}/back`)
    expect(await sha256(join(files, 'back'))).toBe(wanted)
    for (const { original, reply } of await bed.flows('-p', 'tcp', '--dport', '80')) expect([original.src, reply.dst]).toEqual([bed.address, GATEWAY])
  })

  it('carries questions over UDP and TCP, and an answer of several fragments', async () => {
    const dig = (...args: string[]): Promise<string> => output(bed.client, 'dig', [`@${SERVER}`, '+tries=1', '+time=3', ...args])
    expect(await dig('+short', 'a.example.test')).toBe('198.51.100.7\n')
    expect(await dig('+short', '+tcp', 'b.example.test')).toBe('198.51.100.7\n')
    expect(await dig('+notcp', '+bufsize=4096', '+ignore', 'TXT', 'long.example.test')).toMatch(/ANSWER: 12/)
  })

  it('reports the hops of a route', async () => {
    const hops = await output(bed.client, 'traceroute', ['-n', '-q', '1', '-w', '2', SERVER])
    expect(hops).toMatch(/1 {2}192\.168\.1\.1 .*\n 2 {2}10\.77\.0\.1 .*\n 3 {2}203\.0\.113\.9 /)
  })

  it('leaves the host its own connections', async () => {
    const page = await output(bed.gateway, 'curl', ['--silent', '--fail', '--max-time', '10', '--range', '0-99', `http://${SERVER}/big`])
    expect(page).not.toBe('')
    expect(await output(bed.gateway, 'ping', [...requests(2), SERVER])).toContain('2 received')
    expect(await output(bed.server, 'ping', [...requests(2), GATEWAY])).toContain('2 received')
  })

  it('lets no RST and no port-unreachable of the kernel out', async () => {
    // Not for an address or a port of tsnat's: that is the kernel's to answer, and shows that the capture works.
    await bed.server.run('nc', ['-w', '1', GATEWAY, '22'])
    await answers.waitFor(/203\.0\.113\.1\.22 > .*\[R/)
    expect(answers.stdout.trimEnd().split('\n')).toHaveLength(1)
  })
})

it('goes on when the interface is exchanged for another of its name', async () => {
  const bed = await Bed.build(['ping'])
  try {
    await bed.up('--wan-driver', 'raw')
    const ping = async (): Promise<number | null> => (await bed.client.run('ping', ['-c', '1', '-W', '1', SERVER])).code
    expect(await ping()).toBe(0)
    await bed.gateway.run('ip', ['link', 'delete', 'eth0'], { check: true })
    await expect.poll(async () => (await bed.status()).state).toBe('degraded')
    await bed.lab.link(bed.gateway, { name: 'eth0', address: `${GATEWAY}/24` }, bed.server, { name: 'eth0', address: `${SERVER}/24` })
    await bed.gateway.route('default', SERVER, { device: 'eth0' })
    await expect.poll(ping, { timeout: 10_000 }).toBe(0)
    expect((await bed.status()).state).toBe('ready')
  } finally {
    await bed.close()
  }
})

it('has no address of its own', async () => {
  const bed = await Bed.build([])
  try {
    await expect(bed.up('--wan-driver', 'raw', '--wan-address', 'owned:203.0.113.5/24')).rejects.toThrow(/wanDriver "raw" cannot have an owned address/)
  } finally {
    await bed.close()
  }
})
