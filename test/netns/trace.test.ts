/** Traces of a real gateway: what `tsnat trace` foretells, and what it tells of packets as they pass. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TraceRecord } from '../../src/api/trace-types.js'
import type { LabProcess } from '../../src/testing/lab/index.js'
import { CLI, CLIENT, GATEWAY, GatewayLab, REMOTE, SERVER, until } from './gateway-support.js'

let bed: GatewayLab

const run = async (...words: string[]): Promise<string> => {
  const { code, stdout, stderr } = await bed.tsnat(...words)
  expect({ words, code, stderr }).toEqual({ words, code: 0, stderr: '' })
  return stdout
}

beforeAll(async () => {
  bed = await GatewayLab.create()
  await bed.up('--log-level', 'warn')
  for (const words of [
    'iptables -t mangle -A PREROUTING -p tcp --dport 443 -j MARK --set-mark 100',
    'iptables -t nat -A POSTROUTING -o eth0 -p udp -j MASQUERADE --to-ports 55666',
    'iptables -t nat -A POSTROUTING -o eth0 -j MASQUERADE',
    'iptables -A FORWARD -p tcp --dport 25 -j REJECT --reject-with tcp-reset',
    'ip rule add fwmark 100 pref 100 table 7',
    'ip route add blackhole default table 7',
  ]) await run(...words.split(' '))
})
afterAll(async () => {
  await bed.close()
})

/** A command of tsnat that goes on. */
const start = (...words: string[]): LabProcess => bed.gateway.spawn(process.execPath, [CLI, ...words], { env: bed.environment })

/** What has been told in whole lines by now. */
const linesOf = ({ stdout }: LabProcess): TraceRecord[] => stdout.split('\n').slice(0, -1).map((line) => JSON.parse(line) as TraceRecord)

const ask = async (...words: string[]): Promise<TraceRecord> => JSON.parse(await run('trace', '--json', '-s', CLIENT, '-d', REMOTE, ...words)) as TraceRecord

describe('tsnat trace', () => {
  it('tells of a described packet what rules, routes and translation would do with it', async () => {
    const text = await run('trace', '-s', CLIENT, '-d', REMOTE, '-p', 'udp', '--dport', '53', '--sport', '5000')
    expect(text.replace(/^.*table local.*\n/gm, '')).toBe(`\
tun0  ${CLIENT}:5000 > ${REMOTE}:53 udp, length 28, TTL 64, TOS 0x00
  no flow has this tuple
  PREROUTING
    raw
      = PREROUTING policy ACCEPT
    mangle
      - PREROUTING 1: -p tcp -m tcp --dport 443 -j MARK --set-xmark 0x64/0xffffffff   [not: -p tcp]
      = PREROUTING policy ACCEPT
    nat
      = PREROUTING policy ACCEPT
  route ${REMOTE} from ${CLIENT} iif tun0
    rule 0: from all lookup local
    rule 100: from all fwmark 0x64 lookup 7: does not apply
    rule 32766: from all lookup main
      table main: default via ${SERVER} dev eth0: taken
    = via ${SERVER} dev eth0 table main by rule 32766
  FORWARD
    mangle
      = FORWARD policy ACCEPT
    filter
      - FORWARD 1: -p tcp -m tcp --dport 25 -j REJECT --reject-with tcp-reset   [not: -p tcp]
      = FORWARD policy ACCEPT
  POSTROUTING
    mangle
      = POSTROUTING policy ACCEPT
    nat
      + POSTROUTING 1: -o eth0 -p udp -j MASQUERADE --to-ports 55666
  a flow would have this source: ${GATEWAY}, port 55666
  changed: TTL 64 -> 63
  sent by eth0 to ${SERVER}
`)
    expect(await ask('-p', 'tcp', '--dport', '443')).toMatchObject({ result: 'dropped', reason: 'route-blackhole' })
    expect(await ask('-p', 'tcp', '--dport', '25')).toMatchObject({ result: 'dropped', reason: 'rule-rejected' })
    expect(await run('conntrack', '-L', '--json')).toBe('[]\n')
  })

  it('--live tells of packets as they pass, both ways', async () => {
    const live = start('trace', '--live', '--json', '-p', 'icmp')
    // Until the trace runs, packets pass unseen; each ping opens a flow of its own.
    const opened = await until(async () => {
      await bed.client.run('ping', ['-c', '1', '-W', '1', REMOTE])
      return linesOf(live).find(({ steps }) => steps.some((step) => step.step === 'flow' && step.new))
    })
    expect(opened!.result).toMatch(/sent|held/)
    expect(opened!.steps.slice(0, 2)).toMatchObject([{ interface: 'tun0', src: CLIENT, dst: REMOTE, type: 8 }, { step: 'no-flow' }])
    const answer = await until(() => linesOf(live).find(({ steps: [packet] }) => packet?.step === 'packet' && packet.interface === 'eth0'))
    expect(answer!.result).toBe('sent')
    expect(answer!.steps[0]).toMatchObject({ src: REMOTE, dst: GATEWAY, type: 0 })
    expect(answer!.steps[1]).toMatchObject({ step: 'flow', new: false, direction: 'reply' })
    live.kill('SIGINT')
    expect(await live.done).toMatchObject({ code: 0, stderr: '' })
  })

  it('--live ends with the count', async () => {
    const live = start('trace', '--live', '-c', '3', '-p', 'icmp')
    const ping = bed.client.spawn('ping', ['-i', '0.2', REMOTE])
    const { code, stderr } = await live.done
    ping.kill('SIGINT')
    expect([code, stderr]).toEqual([0, '3 packets traced\n'])
  })

  it('--live tells why packets are dropped', async () => {
    const live = start('trace', '--live', '-p', 'tcp', '-s', CLIENT)
    const told = [
      '    = blackhole table 7 by rule 100\n  dropped: route-blackhole: a route or rule of type blackhole takes it\n', '  the sender is told: TCP RST\n  OUTPUT\n', '  dropped: rule-rejected: ',
    ]
    await until(async () => {
      await bed.client.run('bash', ['-c', `timeout 0.3 bash -c 'exec 3<>/dev/tcp/${REMOTE}/443'; timeout 1 bash -c 'exec 3<>/dev/tcp/${REMOTE}/25'`])
      return told.every((text) => live.stdout.includes(text))
    }, () => live.stdout)
    live.kill('SIGINT')
    const { code, stderr } = await live.done
    expect(code).toBe(0)
    expect(stderr).toMatch(/^\d+ packets traced\n$/)
  })

  it('refuses interfaces that the gateway does not have, and a second live trace', async () => {
    const wrong = await bed.tsnat('trace', '-i', 'eth7', '-s', CLIENT, '-d', REMOTE)
    expect([wrong.code, wrong.stderr]).toEqual([64, 'tsnat: "eth7" is no interface of this gateway\n  hint: it has tun0, eth0\n'])
    const live = start('trace', '--live', '-p', 'icmp')
    await until(async () => {
      await bed.client.run('ping', ['-c', '1', '-W', '1', REMOTE])
      return live.stdout !== ''
    })
    const second = await bed.tsnat('trace', '--live')
    expect([second.code, second.stderr]).toEqual([1, 'tsnat: another live trace is running on this gateway\n  hint: end it first, or read its output\n'])
    live.kill('SIGINT')
    expect((await live.done).code).toBe(0)
  })
})
