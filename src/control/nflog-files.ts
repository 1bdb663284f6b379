/**
 * The capture files of NFLOG rules: one pcapng file for each group, in a directory, `NAME-nflog-GROUP.pcapng`. When it has reached
 * its size, or is there already at the start, it becomes `NAME-nflog-GROUP.1.pcapng`, what was 1 becomes 2, and so on; the oldest
 * beyond the number allowed is deleted.
 *
 * Each file is whole in itself: a section, the interfaces as they turn up, packets. Packets go out in the background; when more
 * wait than MAX_WAITING bytes, further ones are lost. A file that cannot be written is given up, with what waits for it, and
 * tried anew after a while.
 */
import { accessSync, constants, createWriteStream, existsSync, mkdirSync, openSync, renameSync, rmSync, type WriteStream } from 'node:fs'
import { release } from 'node:os'
import { join } from 'node:path'
import { finished } from 'node:stream/promises'
import { ExitCode, TsnatError } from '../errors.js'
import { fileReason } from '../file-reason.js'
import { type EnhancedPacket, enhancedPacket, interfaceDescription, LINKTYPE_IPV4, sectionHeader } from '../stack/wire/pcapng.js'
import { version } from '../version.js'

/** Bytes that wait to be written, of one group, at most. */
const MAX_WAITING = 8 << 20
/** Milliseconds after which a file that could not be written is tried again. */
const RETRY = 10_000
const SNAP_LENGTH = 65535
/** Packets are nobody's business but root's. */
const FILE_MODE = 0o600
const DIRECTORY_MODE = 0o750

export interface NflogSettings {
  /** Absolute path; undefined: no files. */
  readonly directory?: string | undefined
  /** Bytes of a file at most, but for its last packet. */
  readonly fileBytes: number
  /** Files of a group at most. */
  readonly files: number
}

export interface NflogPacket extends Omit<EnhancedPacket, 'interfaceId'> {
  readonly interface: { readonly name: string; readonly description: string }
}

interface OpenFile {
  readonly stream: WriteStream
  /** Numbers of interfaces by name. */
  readonly interfaces: Map<string, number>
  size: number
}

/** @throws TsnatError NFLOG_DIRECTORY when there is none that can be written, and none can be made */
const makeDirectory = (directory: string): void => {
  try {
    mkdirSync(directory, { recursive: true, mode: DIRECTORY_MODE })
    accessSync(directory, constants.W_OK | constants.X_OK)
  } catch (cause) {
    throw new TsnatError(`cannot write capture files to ${directory}: ${fileReason(cause)}`, {
      code: 'NFLOG_DIRECTORY', hint: 'set log.nflog.directory to a directory that tsnat can write', exitCode: ExitCode.config, cause,
    })
  }
}

export class NflogFiles {
  readonly #settings: NflogSettings & { readonly directory: string }
  readonly #name: string
  readonly #onTrouble: (error: Error, path: string) => void
  /** By group; null: given up for the moment. */
  readonly #open = new Map<number, OpenFile | null>()
  readonly #retries = new Map<number, number>()
  readonly #endings = new Set<Promise<void>>()
  /** Packets written, or waiting to be. */
  written = 0
  /** Packets that could not be. */
  lost = 0

  /**
   * @param name of the instance
   * @param onTrouble told when a file cannot be written
   * @throws TsnatError NFLOG_DIRECTORY
   */
  constructor(settings: NflogSettings & { readonly directory: string }, name: string, onTrouble: (error: Error, path: string) => void) {
    this.#settings = settings
    this.#name = name
    this.#onTrouble = onTrouble
    makeDirectory(settings.directory)
  }

  /** Never throws: what cannot be written is lost, and counted. */
  write(group: number, packet: NflogPacket): void {
    let file = this.#fileOf(group)
    if (file !== null && file.size >= this.#settings.fileBytes) {
      this.#end(file)
      file = this.#begin(group)
    }
    if (file === null || file.stream.writableLength > MAX_WAITING) {
      this.lost++
      return
    }
    this.written++
    put(file, enhancedPacket({ ...packet, interfaceId: interfaceOf(file, packet.interface) }))
  }

  /** Writes out what waits, and closes all files. */
  async close(): Promise<void> {
    for (const file of this.#open.values()) if (file !== null) this.#end(file)
    this.#open.clear()
    await Promise.all(this.#endings)
  }

  #path(group: number, age: number): string {
    return join(this.#settings.directory, `${this.#name}-nflog-${group}${age === 0 ? '' : `.${age}`}.pcapng`)
  }

  #fileOf(group: number): OpenFile | null {
    const file = this.#open.get(group)
    if (file === undefined || (file === null && Date.now() >= this.#retries.get(group)!)) return this.#begin(group)
    return file
  }

  #begin(group: number): OpenFile | null {
    const path = this.#path(group, 0)
    let file: OpenFile | null = null
    try {
      this.#rotate(group)
      const stream = createWriteStream(path, { fd: openSync(path, 'wx', FILE_MODE) })
      file = { stream, interfaces: new Map(), size: 0 }
      this.#open.set(group, file)
      stream.on('error', (error) => {
        // An earlier one may still be written out.
        if (this.#open.get(group)?.stream === stream) this.#giveUp(group, error, path)
      })
      put(file, sectionHeader({ hardware: process.arch, os: `Linux ${release()}`, application: `tsnat ${version()}` }))
    } catch (error) {
      this.#giveUp(group, error as Error, path)
    }
    return file
  }

  #rotate(group: number): void {
    // A file that could not be opened leaves a gap, which keeps the earlier ones from being pushed out while nothing can be written.
    if (!existsSync(this.#path(group, 0))) return
    for (let age = this.#settings.files - 1; age >= 1; age--) {
      const from = this.#path(group, age - 1)
      if (existsSync(from)) renameSync(from, this.#path(group, age))
    }
    // With one file only, there is nowhere to move it to.
    if (this.#settings.files === 1) rmSync(this.#path(group, 0), { force: true })
  }

  #giveUp(group: number, error: Error, path: string): void {
    if (this.#open.get(group)?.stream.bytesWritten === 0) rmSync(path, { force: true })
    this.#open.set(group, null)
    this.#retries.set(group, Date.now() + RETRY)
    this.#onTrouble(error, path)
  }

  #end({ stream }: OpenFile): void {
    stream.end()
    // Errors have been told by then.
    const ending = finished(stream).catch(() => {}).finally(() => this.#endings.delete(ending))
    this.#endings.add(ending)
  }
}

const put = (file: OpenFile, block: Uint8Array): void => {
  file.stream.write(block)
  file.size += block.length
}

/** The number of an interface in the file, where it is described when its first packet comes. */
const interfaceOf = (file: OpenFile, { name, description }: NflogPacket['interface']): number => {
  const known = file.interfaces.get(name)
  if (known !== undefined) return known
  const number = file.interfaces.size
  file.interfaces.set(name, number)
  put(file, interfaceDescription({ name, description, linkType: LINKTYPE_IPV4, snapLength: SNAP_LENGTH }))
  return number
}
