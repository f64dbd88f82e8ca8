#!/usr/bin/perl

# Events: what they are, how they are asked for, and where they are written.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET;
use JSON::PP;
use POSIX ();
use Test::More;
use Time::HiRes qw/ time /;
use MC;

my $t = MC->new(start => 0, workers => 2, log => 'notice', main => <<'END',
mc_event_log %%DIR%%/events.log;
END
                flows => <<'END');
mc_flow a {
    mc_source  srt://:%%a%%;
    mc_source  srt://:%%ab%%  backup;
    mc_output  o  srt://:%%ao%%  passphrase=0123456789;
    mc_output  o  srt://:%%aob%%  backup;
}
mc_flow own {
    mc_event_log %%DIR%%/own.log;
    mc_source  srt://:%%b%%;
    mc_output  o  srt://:%%bo%%;
}
mc_flow quiet {
    mc_event_log off;
    mc_source  srt://:%%c%%;
    mc_output  o  srt://:%%co%%;
}
mc_flow sys {
    mc_event_log syslog:server=127.0.0.1:%%syslog%%,tag=mc;
    mc_source  srt://:%%d%%;
    mc_output  o  srt://:%%do%%;
}
END

my $syslog = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1',
                                   LocalPort => $t->port('syslog'));
my $began = time();

$t->start;


# one of each kind

my @keys = qw/ code message name peer time type /;

for (['a', 'a', 'input-primary', 'source'], ['ab', 'a', 'input-backup',
      'source'], ['ao', 'a', 'output-primary', 'o'],
     ['aob', 'a', 'output-backup', 'o'], ['b', 'own', 'input-primary',
      'source'], ['c', 'quiet', 'input-primary', 'source'],
     ['d', 'sys', 'input-primary', 'source'])
{
    my ($port, $flow, $type, $name) = @$_;

    my $pass = $port eq 'ao' ? '?passphrase=0123456789' : '';
    $t->mcpkt_run('connect', "srt://127.0.0.1:%%$port%%$pass");

    my @events;

    $t->wait_for(sub {
        @events = grep { $_->{type} eq $type && $_->{name} eq $name }
                  $t->events($flow);
        (grep { $_->{code} eq 'connected' } @events)
        && (grep { $_->{code} eq 'disconnected' } @events)
    }, 5, "$flow: $type");

    my ($e) = grep { $_->{code} eq 'connected' } @events;
    is_deeply([sort keys %$e], \@keys, "$flow: $type: fields");
    like($e->{peer}, qr/^127\.0\.0\.1:\d+$/, "$flow: $type: peer");
    like($e->{time}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
         "$flow: $type: time");
}

my ($started) = $t->events('a');
is($started->{code}, 'started', 'the first event of a flow');
is($started->{peer}, undef, 'has no peer');


# merged: a refused caller that does not give up

my $start = time();
my $refused = 0;

while (time() - $start < 2.5) {
    my $r = $t->mcpkt_run('connect', 'srt://127.0.0.1:%%ao%%');
    $refused++ if $r->{reject_reason} == 11;
}

$t->wait_for(sub { $t->output('a', 'o')->{rejected} == $refused }, 6,
             "all $refused are counted");

my @rejected;
my $n = 0;

$t->wait_for(sub {
    @rejected = grep { $_->{code} eq 'rejected_passphrase' } $t->events('a');
    $n = 0;
    $n += $_->{message} =~ /\((\d+) times\)/ ? $1 : 1 for @rejected;
    $n == $refused
}, 6, 'the events add up to as many') or diag(explain(\@rejected));

cmp_ok(scalar @rejected, '<=', 5, 'in few events');
is(scalar(grep { seconds($rejected[$_]) - seconds($rejected[$_ - 1]) < 0.95 }
          1 .. $#rejected), 0, 'at most one a second');


# asking: from, to, type, name, limit, cursor

my @all = $t->events('a');
is_deeply([map { $_->{time} } @all], [sort map { $_->{time} } @all],
          'oldest first');

my @pages;
my $cursor = '';
my $page;

do {
    $page = $t->status("/flows/a/events?limit=3$cursor");
    unshift @pages, @{ $page->{events} };
    $cursor = '&cursor=' . ($page->{next} // '');
} while (defined $page->{next} && @pages < 1000);

is_deeply(\@pages, \@all, 'pages of three are the whole');

$page = $t->status('/flows/a/events?limit=2');
is_deeply($page->{events}, [@all[-2, -1]], 'the first page is the newest');
ok(defined $page->{next}, 'and there is more');

$page = $t->status('/flows/a/events?limit=1000');
is($page->{next}, undef, 'there is no more');

is_deeply([$t->events('a', 'type=output-primary')],
          [grep { $_->{type} eq 'output-primary' } @all], 'by type');
is_deeply([$t->events('a', 'name=o')],
          [grep { $_->{name} eq 'o' } @all], 'by name');
is_deeply([$t->events('a', 'name=o&type=output-backup')],
          [grep { $_->{type} eq 'output-backup' } @all], 'by both');
is_deeply([$t->events('a', 'name=none')], [], 'by a name that is not there');

my $middle = $all[@all / 2]{time};
is_deeply([$t->events('a', "from=$middle")],
          [grep { $_->{time} ge $middle } @all], 'from');

my @before = $t->events('a', "to=$middle");
ok(!(grep { $_->{time} gt $middle } @before)
   && @before >= (grep { $_->{time} lt $middle } @all), 'to');

my $unix = int(seconds($all[0], 1));
is_deeply([$t->events('a', "from=$unix")], \@all, 'from, in Unix seconds');

my $offset = POSIX::strftime('%Y-%m-%dT%H:%M:%S', gmtime($unix + 7200));
is_deeply([$t->events('a', "from=$offset%2B02:00")], \@all,
          'from, with an offset');
is_deeply([$t->events('a', 'from=2100-01-01T00:00:00Z')], [],
          'from, in the future');
is_deeply([$t->events('a', 'to=2000-01-01T00:00:00Z')], [],
          'to, in the past');

for ('limit=0', 'limit=-1', 'limit=x', 'from=x', 'to=2026-13-01T00:00:00Z',
     'type=x', 'cursor=x')
{
    is($t->get("/flows/a/events?$_")->{status}, 400, "$_ is a bad query");
}

is($t->get('/flows/none/events')->{status}, 404, 'of an unknown flow');


# written

$t->stop;

sub lines {
    my ($file) = @_;

    return map { eval { decode_json($_) } || { bad => $_ } }
           split /\n/, $t->read_file($file);
}

my @lines = lines('events.log');

is(scalar(grep { $_->{bad} } @lines), 0, 'the log is JSON lines');
is_deeply([sort keys %{ $lines[0] }], [sort @keys, 'flow'], 'with the flow');

my %flows;
$flows{ $_->{flow} }++ for @lines;
is_deeply([sort keys %flows], ['a'], 'of flows without a log of their own');

my @logged = map { my %e = %$_; delete $e{flow}; \%e } @lines;
my %logged = map { ("$_->{time} $_->{type} $_->{code}" => $_) } @logged;
is(scalar(grep { !$logged{"$_->{time} $_->{type} $_->{code}"} } @all), 0,
   'all that were answered');
is($logged[-1]{code}, 'stopped', 'and the end');

%flows = map { $_->{flow} => 1 } lines('own.log');
is_deeply([keys %flows], ['own'], 'a log of its own');

my @syslog;

while (1) {
    my $ready = '';
    vec($ready, fileno($syslog), 1) = 1;
    last unless select $ready, undef, undef, 0.2;
    $syslog->recv(my $line, 2000);
    push @syslog, $line;
}

ok((grep { /^<\d+>.* mc: \{/ && /"flow":"sys"/ && /"code":"connected"/ }
    @syslog), 'syslog') or diag(@syslog);

my $text = $t->log;
like($text, qr/flow "a", input-backup "source": connected/, 'error.log');
like($text, qr/\[error\].*rejected_passphrase/, 'refusals are errors');
unlike($text . join('', @syslog) . $t->read_file('events.log'), qr/0123456789/,
       'without the passphrase');

$t->finish;
done_testing();


sub seconds {
    my ($e, $date) = @_;

    my @f = $e->{time} =~ /^(\d+)-(\d+)-(\d+)T(\d+):(\d+):([\d.]+)Z$/;

    return $f[3] * 3600 + $f[4] * 60 + $f[5] unless $date;

    local $ENV{TZ} = 'UTC';
    POSIX::tzset();

    return POSIX::mktime(int $f[5], $f[4], $f[3], $f[2], $f[1] - 1,
                         $f[0] - 1900);
}
