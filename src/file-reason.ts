const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EEXIST: 'there is something else of that name',
  EISDIR: 'it is a directory',
  ENOENT: 'it or its folder does not exist',
  ENOSPC: 'the disk is full',
  ENOTDIR: 'part of the path is not a folder',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
}

/** Why a file could not be used, in words where there are some, else the name of the errno. */
export const fileReason = (error: unknown): string => {
  const { code } = error as NodeJS.ErrnoException
  return code === undefined ? String(error) : (REASONS[code] ?? code)
}
