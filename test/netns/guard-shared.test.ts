/** The WAN address shared with the host's own kernel: both live from it, and neither disturbs the other. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { fetchPage, GATEWAY, GatewayLab, serveEcho, serveHttp, SERVER, Talker, until } from './gateway-support.js'

let lab: GatewayLab
beforeEach(async () => {
  lab = await GatewayLab.create()
})
afterEach(() => lab.close())

const FROM_GATEWAY = `src host ${GATEWAY} and`
const RESETS = `${FROM_GATEWAY} tcp[tcpflags] & tcp-rst != 0`
const UNREACHABLES = `${FROM_GATEWAY} icmp[icmptype] = icmp-unreach`

describe('an address that is shared', () => {
  it('serves the host while clients use it, and the kernel answers none of their packets, late ones included', async () => {
    const { client, gateway, server } = lab
    await Promise.all([serveHttp(server), serveEcho(server), serveHttp(gateway, 8080)])
    const capture = await lab.capture()
    const up = await lab.up()
    const talkers = await Promise.all([Talker.start(client, SERVER, 7, 'talk'), Talker.start(client, SERVER), Talker.start(gateway, SERVER)])

    for (let round = 0; round < 10; round++) {
      const pages = await Promise.all([
        fetchPage(client, `http://${SERVER}/`),
        fetchPage(client, `http://${SERVER}/`, '--local-port', `${40000 + round}`),
        fetchPage(gateway, `http://${SERVER}/`),
        fetchPage(server, `http://${GATEWAY}:8080/`),
      ])
      expect(pages.slice(0, 3)).toEqual(Array(3).fill(expect.stringContaining(`${GATEWAY} `)))
      expect(pages[3]).toContain(`${SERVER} `)
    }
    await Promise.all(talkers.map((talker) => talker.hears()))
    expect(talkers.flatMap(({ errors }) => errors)).toEqual([])

    // The server goes on sending to flows that are no more.
    const talking = (await lab.flows()).filter(({ original }) => original.dport === 7).map(({ reply }) => reply.dport!)
    expect(talking).toHaveLength(4)
    await lab.ip(client, 'link set eth0 down')
    const sent = (): Promise<string[]> => capture.packets(`dst host ${GATEWAY} and (${talking.map((port) => `dst port ${port}`).join(' or ')})`)
    expect((await lab.tsnat('conntrack', '-D')).code).toBe(0)
    const before = (await sent()).length
    await until(async () => (await sent()).length > before + 20)
    expect(await lab.flows()).toEqual([])
    expect((await lab.status()).drops['no-flow']).toBeGreaterThan(10)
    expect(await capture.packets(RESETS)).toEqual([])
    expect(await capture.packets(UNREACHABLES)).toEqual([])

    // The control: without the guard the kernel answers at once.
    up.kill('SIGINT')
    expect((await up.done).code).toBe(0)
    await until(async () => (await capture.packets(RESETS)).length > 0 && (await capture.packets(UNREACHABLES)).length > 0)
    await talkers[2]!.hears()
    expect(talkers[2]!.errors).toEqual([])
    await capture.stop()
  })

  it('keeps off the ports that the host listens on, whenever it began to', async () => {
    const { client, gateway, server } = lab
    await Promise.all([serveHttp(server), serveHttp(gateway, 40000)])
    await lab.up()
    expect((await lab.status()).wans[0]!.ports).toBe('512-599,36864-39999,40001-60999')
    expect(await fetchPage(server, `http://${GATEWAY}:40000/`)).toContain(SERVER)
    // The client's own port is not free outside, and is replaced.
    const seen = await fetchPage(client, `http://${SERVER}/`, '--local-port', '40000')
    expect(seen).toMatch(/^203\.0\.113\.1 \d+$/)
    expect(seen).not.toContain(' 40000')

    const late = await serveHttp(gateway, 45000)
    await lab.untilStatus(({ wans: [wan] }) => wan!.ports === '512-599,36864-39999,40001-44999,45001-60999')
    await until(async () => (await fetchPage(server, `http://${GATEWAY}:45000/`)).includes(SERVER))
    expect(await fetchPage(client, `http://${SERVER}/`, '--local-port', '45000')).not.toContain(' 45000')
    late.kill()
    await lab.untilStatus(({ wans: [wan] }) => wan!.ports === '512-599,36864-39999,40001-60999')
  })

  it('the kernel is kept off the ports that tsnat uses', async () => {
    const { gateway, server } = lab
    await serveHttp(server)
    await lab.up('--ports', '32768-60000')
    for (let round = 0; round < 5; round++) {
      const port = Number((await fetchPage(gateway, `http://${SERVER}/`)).split(' ')[1])
      expect(port).toBeGreaterThan(60000)
    }
  })
})
