/**
 * `tsnat nc`, `ping` and `ss`: sockets of the gateway's own from a shell, with real programs at the other end.
 *
 *     gateway  eth0 10.0.0.1 ── 10.0.0.254 ┬ providers, with the server 198.51.100.10
 *              eth1 10.1.0.1 ── 10.1.0.254 ┘
 */
import { createHash, randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { SocketInfo } from '../../src/api/socket-types.js'
import type { LabNamespace, LabProcess } from '../../src/testing/lab/index.js'
import { until } from './gateway-support.js'
import { Scenario, serveTeller } from './scenarios/support.js'

const SERVER = '198.51.100.10'
const FIRST = '10.0.0.1'
const SECOND = '10.1.0.1'

let bed: Scenario
let server: LabNamespace
let gateway: LabProcess
beforeEach(async () => {
  bed = await Scenario.create()
  server = await bed.host('providers', '10.0.0.254/24', 'eth0', `${FIRST}/24`)
  await bed.lab.link(server, { name: 'eth1', address: '10.1.0.254/24' }, bed.gateway, { name: 'eth1', address: `${SECOND}/24` })
  server.sysctl('net.ipv4.conf.all.rp_filter', 0)
  await bed.ip(server, `addr add ${SERVER}/32 dev lo`)
  await bed.ip(bed.gateway, 'route add 0.0.0.0/0 via 10.0.0.254 src 10.0.0.1')
  gateway = await bed.up('--wan eth0 --wan eth1 --capture none --log-level error')
})
afterEach(async () => {
  await bed.close()
})

/** A command of tsnat that goes on. */
const begin = (line: string, interactive = false): LabProcess => bed.gateway.spawn('sh', ['-c', `exec tsnat ${line}`], { env: bed.environment, interactive })
const sockets = async (words = '-a'): Promise<SocketInfo[]> => JSON.parse(await bed.typed(`tsnat ss ${words} --json`)) as SocketInfo[]

const serveNc = async (words: string, input = ''): Promise<LabProcess> => {
  const started = server.spawn('nc', ['-n', '-v', '-l', ...words.split(' ')], { input })
  await started.waitFor(/Listening|Bound/)
  return started
}

describe('S3, by commands alone', () => {
  it('the first provider without rules; the second, with its address, when OUTPUT marks: TCP, UDP and ping', async () => {
    await serveTeller(server, 80, SERVER)
    const ask = (words = ''): Promise<{ stdout: string; stderr: string }> => bed.shell(`tsnat nc -v ${words} -w 1 ${SERVER} 80 < /dev/null`)
    const plain = await ask()
    expect(plain.stdout).toMatch(new RegExp(`^${FIRST} \\d+ ${SERVER} 80$`))
    expect(plain.stderr).toMatch(new RegExp(`^Connection to ${SERVER} 80 port \\[tcp/\\*\\] succeeded!\nLocal address ${FIRST} port \\d+\n$`))

    await bed.typed(`tsnat iptables -t mangle -A OUTPUT -d ${SERVER} -j MARK --set-mark 100`)
    await bed.typed('tsnat ip rule add fwmark 100 table 200')
    await bed.typed('tsnat ip route add 0.0.0.0/0 via 10.1.0.254 src 10.1.0.1 table 200')
    const [first, second] = [await bed.capture(server), await bed.capture(server, 'eth1')]
    const moved = await ask()
    const [, port] = /Local address \S+ port (\d+)/.exec(moved.stderr) ?? []
    expect(moved.stdout).toBe(`${SECOND} ${port} ${SERVER} 80`)
    expect(moved.stderr).toContain(`Local address ${SECOND} port ${port}\n`)
    const udp = await bed.shell(`echo hello | tsnat nc -v -u -w 1 ${SERVER} 80`)
    expect(udp.stdout).toMatch(new RegExp(`^${SECOND} \\d+ ${SERVER} 80$`))
    expect(udp.stderr).toMatch(new RegExp(`^Local address ${SECOND} port \\d+\n$`))
    expect(await bed.typed(`tsnat ping -c 1 ${SERVER}`)).toContain(`64 bytes from ${SERVER}: icmp_seq=1 ttl=64 time=`)
    for (const filter of ['tcp', 'udp', 'icmp']) expect(await second.packets(`${filter} and src host ${SECOND}`)).not.toEqual([])
    expect(await first.packets(`dst host ${SERVER}`)).toEqual([])
    expect(await second.packets(`dst host ${SERVER} and not src host ${SECOND}`)).toEqual([])
    expect(await bed.flows()).toEqual([])

    // A socket that is bound to its address keeps it.
    const bound = await ask(`-s ${FIRST}`)
    expect(bound.stdout).toMatch(new RegExp(`^${FIRST} \\d+ ${SERVER} 80$`))
  })

  it('--mark and --tos lead to the second provider, too', async () => {
    await serveTeller(server, 80, SERVER)
    await bed.typed('tsnat ip rule add fwmark 100 table 200')
    await bed.typed('tsnat ip rule add tos 0x10 table 200')
    await bed.typed('tsnat ip route add 0.0.0.0/0 via 10.1.0.254 src 10.1.0.1 table 200')
    for (const words of ['--mark 100', '--tos 0x10', '-u --mark 0x64']) {
      expect(await bed.typed(`echo | tsnat nc ${words} -w 1 ${SERVER} 80`)).toMatch(new RegExp(`^${SECOND} `))
    }
  })
})

describe('tsnat nc', () => {
  it('talks with nc both ways; -N ends its side alone', async () => {
    const other = await serveNc(`-N ${SERVER} 5000`, 'from the server\n')
    expect(await bed.typed(`echo from the gateway | tsnat nc -N ${SERVER} 5000`)).toBe('from the server\n')
    expect(await other.done).toMatchObject({ code: 0, stdout: 'from the gateway\n' })
  })

  it('carries megabytes whole, in both directions at once, no faster than they are taken', async () => {
    const data = randomBytes(8 << 20)
    bed.file('data', '')
    const echo = server.node(`
      import { createServer } from 'node:net'
      createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket)).listen(5001, '${SERVER}', () => console.log('serving'))`)
    await echo.waitFor(/serving/)
    const path = bed.file('data.hex', data.toString('hex'))
    const { code, stdout } = await bed.shell(`tsnat nc -N ${SERVER} 5001 < ${path} | (sleep 1; sha256sum)`)
    expect(code).toBe(0)
    expect(stdout.split(' ')[0]).toBe(createHash('sha256').update(data.toString('hex')).digest('hex'))
  })

  it('listens once, at the address and port that it says', async () => {
    const listening = begin(`nc -v -l ${FIRST} 6000`, true)
    await listening.waitFor(/Listening on 10\.0\.0\.1 6000/)
    expect(await sockets('-lt')).toEqual([{ protocol: 'tcp', state: 'LISTEN', receiveQueue: 0, sendQueue: 0, local: { address: FIRST, port: 6000 }, remote: null }])
    listening.write('welcome\n')
    // It says "hello" when it has been welcomed.
    const script = `mkfifo heard; exec 3<>heard; (read line <&3; echo hello) | nc -N ${FIRST} 6000 | tee heard`
    const { stdout } = await server.run('sh', ['-c', script], { check: true, cwd: bed.lab.temporaryDirectory() })
    expect(stdout).toBe('welcome\n')
    expect(await listening.done).toMatchObject({ code: 0, stdout: 'hello\n' })
    expect(listening.stderr).toMatch(/Connection received on 10\.0\.0\.254 \d+\n/)
    // It listens no more.
    expect((await server.run('nc', ['-w', '2', FIRST, '6000'])).code).toBe(1)
  })

  it('a local port outside of those to choose from is its own, too: answers come', async () => {
    await serveTeller(server, 80, SERVER)
    expect(await bed.typed(`tsnat nc -w 2 -p 4000 ${SERVER} 80 < /dev/null`)).toBe(`${FIRST} 4000 ${SERVER} 80`)
    expect(await bed.typed(`echo | tsnat nc -u -w 2 -p 4000 ${SERVER} 80`)).toBe(`${FIRST} 4000 ${SERVER} 80`)
  })

  it('waits for a datagram, then talks with who sent it', async () => {
    const listening = begin('nc -v -u -l 6001', true)
    await listening.waitFor(/Listening on 0\.0\.0\.0 6001/)
    const other = server.spawn('nc', ['-u', '-s', SERVER, FIRST, '6001'], { interactive: true })
    other.write('question\n')
    await listening.waitFor(/Connection received on 198\.51\.100\.10/)
    listening.write('answer\n')
    await until(() => other.stdout === 'answer\n')
    other.write('thanks\n')
    await until(() => listening.stdout === 'question\nthanks\n', () => listening.stdout)
    for (const one of [other, listening]) one.kill()
    await until(async () => (await sockets('-u')).length === 0)
  })

  it('asks a real name server over UDP', async () => {
    const dns = server.spawn('dnsmasq', ['-k', '-u', 'root', '-h', '-R', '-p', '53', `--listen-address=${SERVER}`, '--bind-interfaces', '--address=/host.test/192.0.2.7', '--pid-file='])
    await server.run('sh', ['-c', `until dig +tries=1 +time=1 @${SERVER} host.test >/dev/null; do :; done`], { timeout: 20_000, check: true })
    const query = "'\\022\\064\\001\\000\\000\\001\\000\\000\\000\\000\\000\\000\\004host\\004test\\000\\000\\001\\000\\001'"
    const answer = await bed.typed(`printf ${query} | tsnat nc -u -w 1 ${SERVER} 53 | od -An -tx1`)
    expect(answer.replaceAll(/\s+/g, ' ')).toContain('c0 00 02 07')
    dns.kill()
  })

  it('tells refusals, silence and what cannot be bound in the words of nc', async () => {
    const failed = (line: string): Promise<unknown> => bed.shell(`${line} < /dev/null`).then(({ code, stdout, stderr }) => ({ code, stdout, stderr }))
    expect(await failed(`tsnat nc ${SERVER} 9`)).toEqual({ code: 1, stdout: '', stderr: `nc: connect to ${SERVER} port 9 (tcp) failed: Connection refused\n` })
    expect(await failed(`tsnat nc -s 192.0.2.1 ${SERVER} 9`)).toMatchObject({ code: 1, stderr: 'nc: bind failed: Cannot assign requested address\n' })
    await server.run('iptables', ['-A', 'INPUT', '-p', 'tcp', '--dport', '10', '-j', 'DROP'], { check: true })
    expect(await failed(`tsnat nc -w 1 ${SERVER} 10`)).toEqual({ code: 1, stdout: '', stderr: `nc: connect to ${SERVER} port 10 (tcp) timed out\n` })
    const listening = begin('nc -v -l 6002')
    await listening.waitFor(/Listening/)
    expect(await failed('tsnat nc -l 6002')).toMatchObject({ code: 1, stderr: 'nc: listen on 0.0.0.0 port 6002 (tcp) failed: Address already in use\n' })
    const refused = await bed.shell(`(echo a; sleep 5) | tsnat nc -u ${SERVER} 9`)
    expect(refused).toMatchObject({ code: 1, stderr: 'nc: read: Connection refused\n' })
    await bed.typed(`tsnat iptables -A OUTPUT -d ${SERVER} -p tcp --dport 11 -j DROP`)
    expect(await failed(`tsnat nc -w 2 ${SERVER} 11`)).toMatchObject({ code: 1 })
  })

  it('closes the socket when it is killed, and ends when the gateway does', async () => {
    const other = await serveNc(`${SERVER} 5002`)
    const talking = begin(`nc -v ${SERVER} 5002`, true)
    await talking.waitFor(/succeeded/)
    expect(await sockets('-t')).toMatchObject([{ state: 'ESTAB', remote: { address: SERVER, port: 5002 } }])
    talking.kill('SIGKILL')
    await other.done
    await until(async () => (await sockets('-t')).length === 0)

    const again = await serveNc(`${SERVER} 5003`)
    const [stream, waiting] = [begin(`nc -v ${SERVER} 5003`, true), begin('nc -v -u -l 6003', true)]
    await Promise.all([stream.waitFor(/succeeded/), waiting.waitFor(/Listening/)])
    gateway.kill('SIGTERM')
    for (const one of [stream, waiting]) expect(await one.done).toMatchObject({ code: 1, stderr: expect.stringContaining('nc: the gateway has stopped\n') })
    await again.done
    expect((await gateway.done).code).toBe(0)
  })
})

describe('tsnat ping', () => {
  it('prints what ping prints', async () => {
    const shape = (text: string): string => text.replaceAll(/\d+(\.\d+)? ?ms/g, 'N ms').replaceAll(/= [\d./]+ ms|= [\d./]+N ms/g, '= N')
    const { stdout } = await bed.gateway.run('ping', ['-c', '3', '-i', '0.2', '-s', '1000', '-I', FIRST, SERVER], { check: true })
    expect(shape(await bed.typed(`tsnat ping -c 3 -i 0.2 -s 1000 -I ${FIRST} ${SERVER}`))).toBe(shape(stdout))
  })

  it('prints ICMP errors, and exits as ping does', async () => {
    server.sysctl('net.ipv4.ip_forward', 1)
    await server.run('ip', ['route', 'add', 'unreachable', '192.0.2.0/24'], { check: true })
    const lost = await bed.shell('tsnat ping -c 2 -i 0.1 -W 1 192.0.2.1')
    expect(lost.code).toBe(1)
    expect(lost.stdout).toMatch(/^PING 192\.0\.2\.1 \(192\.0\.2\.1\) 56\(84\) bytes of data\.\nFrom 10\.0\.0\.254 icmp_seq=1 Destination Host Unreachable\nFrom 10\.0\.0\.254 icmp_seq=2 /)
    expect(lost.stdout).toMatch(/\n\n--- 192\.0\.2\.1 ping statistics ---\n2 packets transmitted, 0 received, \+2 errors, 100% packet loss, time \d+ms\n\n$/)
    const short = await bed.shell(`tsnat ping -c 1 -t 1 ${SERVER}`)
    expect(short).toMatchObject({ code: 0 })
    const unbound = await bed.shell(`tsnat ping -c 1 -I 192.0.2.77 ${SERVER}`)
    expect(unbound).toMatchObject({ code: 2, stderr: 'ping: bind: Cannot assign requested address\n' })
    await bed.typed('tsnat ip route add prohibit 203.0.113.0/24')
    expect(await bed.shell('tsnat ping -c 1 203.0.113.1')).toMatchObject({ code: 2, stderr: expect.stringContaining('ping: connect: ') })
    await bed.typed('tsnat iptables -A OUTPUT -p icmp -d 10.0.0.254 -j DROP')
    expect(await bed.shell('tsnat ping -c 1 -W 1 10.0.0.254')).toMatchObject({ code: 1, stderr: 'ping: sendmsg: Operation not permitted\n' })
  })

  it('tells of a neighbour that does not answer', async () => {
    const { code, stdout, stderr } = await bed.shell('tsnat ping -c 1 -W 8 10.0.0.77')
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' })
    expect(stdout).toContain('From 10.0.0.1 icmp_seq=1 Destination Host Unreachable\n')
  })

  it('ends at Ctrl-C with the summary', async () => {
    const pinging = begin(`ping -i 0.1 ${SERVER}`)
    await pinging.waitFor(/icmp_seq=3 /)
    pinging.kill('SIGINT')
    const { code, stdout } = await pinging.done
    expect(code).toBe(0)
    expect(stdout).toMatch(/\n\d+ packets transmitted, \d+ received, 0% packet loss, time \d+ms\nrtt min\/avg\/max\/mdev = [\d.]+\/[\d.]+\/[\d.]+\/[\d.]+ ms\n$/)
    await until(async () => (await sockets('-w -a')).length === 0)
  })
})

describe('tsnat ss', () => {
  it('shows what there is, in the columns of ss, and status and metrics count it', async () => {
    await serveTeller(server, 80, SERVER)
    const stream = begin(`nc -v ${SERVER} 80`, true)
    await stream.waitFor(/Local address 10\.0\.0\.1 port \d+/)
    const [, port = ''] = /port (\d+)\n$/.exec(stream.stderr) ?? []
    const waiting = begin('nc -v -l 6004', true)
    await waiting.waitFor(/Listening/)
    expect(await bed.typed('tsnat ss -tan')).toBe([
      'State  Recv-Q Send-Q Local Address:Port   Peer Address:Port',
      'LISTEN 0      0            0.0.0.0:6004        0.0.0.0:*',
      `ESTAB  0      0           10.0.0.1:${port} 198.51.100.10:80`, '',
    ].join('\n'))
    expect((await bed.status()).sockets).toEqual({ count: 2, limit: 65536, tcp: 2, udp: 0, icmp: 0, timeWait: 0 })
    expect(await bed.typed('tsnat status')).toContain('own    2 of 65 536 sockets (TCP 2, UDP 0, ICMP 0, TIME_WAIT 0)\n')
    for (const one of [stream, waiting]) one.kill()
    await until(async () => (await sockets()).every(({ state }) => state === 'TIME-WAIT'))
    expect((await bed.status()).sockets).toMatchObject({ count: 1, tcp: 0, timeWait: 1 })
  })
})
