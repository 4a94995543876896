// The programs of a berth, in what machines have that starts a process in 0.1 ms, tells exactly how it ended, and needs no compiler.

/**
 * Arguments: the files that take it into its cgroups. On stdin orders, each behind its length in 4 bytes, big end first:
 * cwd, input file, the user to become or nothing, number of arguments, program, arguments…, NAME=value…, all parted by NUL, which none of them can hold.
 * On stdout lines:
 *   ready OUT ERR     two fresh pipes stand open under these descriptors; whoever may follow /proc/PID/fd can open their read ends
 *   taken             the order was read; from now on there may be a process
 *   started PID       the program runs, writing into them
 *   failed TEXT       it could not be executed
 *   ended STATUS      as wait(2) tells it; then `ready` again
 * A job gets a process group of its own and no descriptor but 0, 1 and 2: what the launcher inherited it closes at its start, and what
 * it opened is closed at exec. The end of stdin is its own end.
 *
 * Where jobs are users of their own, the launcher itself stays root, so that no job can signal, trace or read it, and the child changes
 * its user before the exec. The output pipes become the job's, which could not open /dev/stdout otherwise.
 */
export type LauncherName = 'python3' | 'perl'

/**
 * Starts a child without a copy of itself, which halves the price; since Python 3.8. That cannot change its user, unless the launcher
 * took that for its own real one meanwhile, and then a quick job could stop its launcher. So a user costs a fork, 0.16 ms.
 */
const PYTHON = `import errno, os, signal, sys
spawn, OPEN, DUP2 = os.posix_spawn, os.POSIX_SPAWN_OPEN, os.POSIX_SPAWN_DUP2
with open('/proc/self/comm', 'w') as name:
    name.write('swarm launcher')
for door in sys.argv[1:]:
    with open(door, 'w') as file:
        file.write('0')
os.closerange(3, 65536)
IGNORED = [signal.SIGPIPE, signal.SIGXFSZ]
def fork(user, execute):
    heard, failed = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setpgid(0, 0)
            for number in IGNORED:
                signal.signal(number, signal.SIG_DFL)
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            execute()
        except OSError as error:
            os.write(failed, error.strerror.encode())
        finally:
            os._exit(127)
    os.close(failed)
    why = os.read(heard, 4096).decode()
    os.close(heard)
    if why:
        os.waitpid(pid, 0)
    return (0 if why else pid), why
def take(count):
    parts = b''
    while len(parts) < count:
        part = os.read(0, count - len(parts))
        if not part:
            sys.exit()
        parts += part
    return parts
before = b''
while True:
    try:
        (out, out_end), (err, err_end) = os.pipe(), os.pipe()
    except OSError:
        os.write(1, before)
        raise
    os.write(1, before + b'ready %d %d\\n' % (out, err))
    order = take(int.from_bytes(take(4), 'big'))
    os.write(1, b'taken\\n')
    cwd, given, user, count, *rest = order.split(b'\\0')
    command, pairs = rest[:int(count)], dict(pair.split(b'=', 1) for pair in rest[int(count):])
    files = [(OPEN, 0, given, os.O_RDONLY, 0), (DUP2, out_end, 1), (DUP2, err_end, 2)]
    def start(*command):
        return spawn(command[0], command, pairs, file_actions=files, setpgroup=0, setsigdef=IGNORED)
    def become(*command):
        os.execve(command[0], command, pairs)
    def either(run):
        try:
            return run(*command)
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            return run(b'/bin/sh', *command)
    def execute():
        os.chdir(cwd)
        os.dup2(os.open(given, os.O_RDONLY), 0)
        os.dup2(out_end, 1)
        os.dup2(err_end, 2)
        either(become)
    before = b''
    pid = 0
    try:
        if user:
            for end in out_end, err_end:
                os.fchown(end, int(user), int(user))
            pid, why = fork(int(user), execute)
        else:
            os.chdir(cwd)
            pid = either(start)
    except OSError as error:
        why = error.strerror
    for end in out, out_end, err, err_end:
        os.close(end)
    os.write(1, b'started %d\\n' % pid if pid else b'failed ' + why.encode() + b'\\n')
    if pid:
        before = b'ended %d\\n' % os.waitpid(pid, 0)[1]
`

const PERL = `$0 = 'swarm launcher';
opendir my $open, '/proc/self/fd' or exit 1;
for my $number (grep { /^\\d+$/ and $_ > 2 and $_ != fileno $open } readdir $open) {
  open my $inherited, '<&=', $number or exit 1;
}
closedir $open;
for my $door (@ARGV) {
  open my $file, '>', $door or exit 1;
  syswrite $file, '0' or exit 1;
}
sub take {
  my ($count, $bytes) = (shift, '');
  while (length $bytes < $count) {
    sysread STDIN, $bytes, $count - length $bytes, length $bytes or exit 0;
  }
  return $bytes;
}
sub become {
  my $user = shift;
  return 1 if $user eq '';
  ($(, $)) = ($user, "$user $user");
  ($<, $>) = ($user, $user);
  return $< == $user && $> == $user && $( == $user && $) == $user;
}
sub tell_line { syswrite STDOUT, "@_\\n" or exit 0 }
my $before = '';
while (1) {
  pipe my $out, my $out_end and pipe my $err, my $err_end or do { syswrite STDOUT, $before; exit 1 };
  tell_line $before . 'ready', fileno $out, fileno $err;
  $before = '';
  my $order = take(unpack 'N', take(4));
  tell_line 'taken';
  my ($cwd, $input, $user, $count, @rest) = split /\\0/, $order, -1;
  my @command = splice @rest, 0, $count;
  chown $user, $user, $out_end, $err_end if $user ne '';
  pipe my $heard, my $failed or exit 1;
  my $pid = fork;
  if (defined $pid and $pid == 0) {
    setpgrp 0, 0;
    if (become($user) and chdir $cwd and open STDIN, '<', $input and open STDOUT, '>&', $out_end and open STDERR, '>&', $err_end) {
      %ENV = map { split /=/, $_, 2 } @rest;
      exec { $command[0] } @command;
    }
    syswrite $failed, "$!";
    kill 9, $$;
  }
  my $why = defined $pid ? '' : "$!";
  close $_ for $out, $out_end, $err, $err_end, $failed;
  sysread $heard, $why, 4096 if $why eq '';
  close $heard;
  if ($why eq '') { tell_line 'started', $pid } else { tell_line 'failed', $why }
  next unless defined $pid;
  waitpid $pid, 0;
  $before = "ended $?\\n" if $why eq '';
}
`

/** The arguments in front of the cgroups' files. */
export const LAUNCHERS: Readonly<Record<LauncherName, readonly string[]>> = {
  python3: ['-I', '-S', '-c', PYTHON],
  perl: ['-f', '-e', PERL],
}

/** Best first. */
export const LAUNCHER_NAMES: readonly LauncherName[] = ['python3', 'perl']
