/* sources: ngx_mc_definition.c ngx_mc_definition_rtmp.c ngx_mc_definition_text.c ngx_mc_param.c ngx_mc_validate.c srt/ngx_mc_srt_streamid.c -lcrypto */

/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_definition.h>
#include <ngx_mc_param.h>

#include <sys/syscall.h>

#include "shim.h"


#define IN   NGX_MC_INPUT
#define OUT  NGX_MC_OUTPUT


typedef struct {
    ngx_uint_t   direction;
    const char  *words;                /* URL and parameters */
    const char  *expected;
} definition_case_t;


static uid_t  test_uid;


/* who runs the tests must not matter */

uid_t
geteuid(void)
{
    return test_uid;
}


static ngx_int_t
parse_words(ngx_mc_parse_t *p, ngx_mc_endpoint_def_t *def,
    ngx_uint_t direction, const char *words)
{
    char        *copy, *word, *next, *eq;
    ngx_str_t    name, value;
    ngx_uint_t   n;

    /* words are separated by a space, "\t" stands for one within a word */

    ngx_memzero(p->err, sizeof(p->err));

    ngx_mc_def_init_endpoint(def);
    def->direction = direction;

    copy = ngx_pnalloc(p->pool, strlen(words) + 1);
    strcpy(copy, words);

    for (n = 0, word = copy; word; word = next, n++) {

        next = strchr(word, ' ');

        if (next) {
            *next++ = '\0';
        }

        for (eq = word; *eq; eq++) {
            if (*eq == '\t') {
                *eq = ' ';
            }
        }

        if (n == 0) {
            value = shim_str(word);

            if (ngx_mc_def_parse_url(p, def, &value) != NGX_OK) {
                return NGX_ERROR;
            }

            continue;
        }

        if (strcmp(word, "backup") == 0) {
            def->pipeline = NGX_MC_BACKUP;
            continue;
        }

        if (strcmp(word, "off") == 0) {
            def->off = 1;
            continue;
        }

        eq = strchr(word, '=');

        if (eq) {
            *eq++ = '\0';
        }

        name = shim_str(word);
        value = shim_str(eq);

        if (ngx_mc_def_parse_param(p, def, &name, &value) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return ngx_mc_def_check_endpoint(p, def);
}


#define RTMP_LISTENS                                                          \
    "an RTMP URL without a host is \"rtmp:///APP/NAME\": an application of "   \
    "the \"rtmp\" block and the name of the stream"

#define RTMP_NO_HOST                                                          \
    "no host to connect to in the URL; what listens is "                      \
    "\"rtmp:///APP/NAME\", at the ports of the \"rtmp\" block"

#define RTMP_NO_USER                                                          \
    "user name and password have no meaning in an RTMP URL: what the server " \
    "asks for is its query or the \"key\""

#define RTMP_CONNECTS(scheme)                                                 \
    "the URL must be like \"" scheme "://HOST/APP/NAME\", or like \"" scheme   \
    "://HOST/APP\" with \"key\" or \"key_file\""

#define RTMP_PATH                                                             \
    "a space, a control character or one beyond ASCII in the path or the "    \
    "query of the URL: they are sent as they stand, write what the server "   \
    "says"

#define RTMP_AUDIO                                                            \
    "\"audio\" must be a PID from 16 to 8190, or a language of three letters " \
    "such as \"eng\""


/* mistakes that one endpoint shows */

static definition_case_t  mistakes[] = {

    /* URL */

    { IN, "", "no scheme in the URL, it must be like \"srt://HOST:PORT\"" },
    { IN, "srt", "no scheme in the URL, it must be like "
      "\"srt://HOST:PORT\"" },
    { IN, "srt:/", "no scheme in the URL, it must be like "
      "\"srt://HOST:PORT\"" },
    { IN, "srt:/:9000", "no scheme in the URL, it must be like "
      "\"srt://HOST:PORT\"" },
    { IN, "/srt://", "no scheme in the URL, it must be like "
      "\"srt://HOST:PORT\"" },
    { IN, "flow:///a/b", "unsupported scheme \"flow\" in the URL, use "
      "\"srt\", \"rtp\", \"udp\", \"rtmp\" or \"rtmps\"" },
    { IN, "rtmpt://host/app/a", "unsupported scheme \"rtmpt\" in the URL, of "
      "RTMP use \"rtmp\" or \"rtmps\"" },
    { IN, "RTMPE://host/app/a", "unsupported scheme \"RTMPE\" in the URL, of "
      "RTMP use \"rtmp\" or \"rtmps\"" },
    { IN, "passphrase=0123456789://", "unsupported scheme in the URL, use "
      "\"srt\", \"rtp\", \"udp\", \"rtmp\" or \"rtmps\"" },
    { IN, "srt://", "no port in the URL, it must be like "
      "\"srt://HOST:PORT\"" },
    { IN, "srt://host", "no port in the URL, it must be like "
      "\"srt://HOST:PORT\"" },
    { IN, "srt://[::1]", "no port in the URL, it must be like "
      "\"srt://HOST:PORT\"" },
    { IN, "srt://:", "invalid port in the URL, it must be a number from 1 to "
      "65535" },
    { IN, "srt://:0", "invalid port in the URL, it must be a number from 1 to "
      "65535" },
    { IN, "srt://:65536", "invalid port in the URL, it must be a number from "
      "1 to 65535" },
    { IN, "srt://:9000x", "invalid port in the URL, it must be a number from "
      "1 to 65535" },
    { IN, "srt://[::1]9000", "invalid port in the URL, it must be a number "
      "from 1 to 65535" },
    { IN, "srt://[::1:9000", "no closing bracket after the IPv6 address in "
      "the URL" },
    { IN, "srt://::1:9000", "an IPv6 address stands in brackets: "
      "\"srt://[ADDRESS]:PORT\"" },
    { IN, "srt://[1.2.3.4]:9000", "invalid IPv6 address in the URL" },
    { IN, "srt://[fe80::1%25eth0]:9000", "invalid IPv6 address in the URL" },
    { IN, "srt://[]:9000", "invalid IPv6 address in the URL" },
    { IN, "srt://[::ffff:1.2.3.4]:9000", "an IPv4-mapped IPv6 address in the "
      "URL, write the IPv4 address" },
    { IN, "srt://1.2.3:9000", "invalid IPv4 address in the URL" },
    { IN, "srt://1.2.3.:9000", "invalid IPv4 address in the URL" },
    { IN, "srt://1.2.3.256:9000", "invalid IPv4 address in the URL" },
    { IN, "srt://255.255.255.255:9000", "broadcast addresses are not "
      "supported" },
    { IN, "srt://a..b:9000", "invalid host name in the URL" },
    { IN, "srt://.b:9000", "invalid host name in the URL" },
    { IN, "srt://*:9000", "invalid host name in the URL" },
    { IN, "srt://a#b:9000", "invalid host name in the URL" },
    { IN, "srt://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
      "aaa:9000", "invalid host name in the URL" },
    { IN, "srt://user:secret@host:9000", "a user name has no meaning in an srt "
      "URL, it must be like \"srt://HOST:PORT\"" },
    { IN, "srt://@:9000", "a user name has no meaning in an srt "
      "URL, it must be like \"srt://HOST:PORT\"" },
    { IN, "udp://@@:9000", "a user name has no meaning in an udp "
      "URL, it must be like \"udp://HOST:PORT\"" },
    { OUT, "udp://@239.1.1.1:9000", "\"udp://@\" means to receive, an output "
      "is \"udp://HOST:PORT\"" },
    { IN, "srt://:9000/live", "an srt URL ends after the port, or goes on "
      "with \"?\" and parameters" },
    { IN, "srt://:9000/#", "an srt URL ends after the port, or goes on "
      "with \"?\" and parameters" },

    /* query */

    { IN, "srt://:9000?latency", "parameter \"latency\" has no value" },
    { IN, "srt://:9000?latency=", "parameter \"latency\" has no value" },
    { IN, "srt://:9000?passphrase=0123456789&abc", "a parameter without \"=\" "
      "in the query of the URL; \"&\" in a value is written \"%26\"" },
    { IN, "srt://:9000?streamid=%zz", "\"%\" without two hexadecimal digits "
      "in the query of the URL; \"%\" itself is written \"%25\"" },
    { IN, "srt://:9000?streamid=%2", "\"%\" without two hexadecimal digits "
      "in the query of the URL; \"%\" itself is written \"%25\"" },
    { IN, "srt://:9000?backup", "\"backup\" is a word of its own, without a "
      "value and not in the query of a URL" },
    { IN, "srt://:9000?off", "\"off\" is a word of its own, without a "
      "value and not in the query of a URL" },
    { IN, "srt://:9000?backup=1", "\"backup\" is a word of its own, without a "
      "value and not in the query of a URL" },
    { IN, "srt://:9000?latency=1&latency=1",
      "parameter \"latency\" is given twice" },
    { IN, "srt://:9000?latency=1 latency=1",
      "parameter \"latency\" is given twice" },

    /* parameters */

    { IN, "srt://:9000 latancy=200", "unknown parameter \"latancy\", did you "
      "mean \"latency\"?" },
    { IN, "srt://:9000 passhprase=0123456789", "unknown parameter "
      "\"passhprase\", did you mean \"passphrase\"?" },
    { IN, "srt://:9000 pass=0123456789", "unknown parameter \"pass\"" },
    { IN, "srt://:9000 =x", "unknown parameter \"\"" },
    { IN, "srt://:9000 rekey=keep", NULL },
    { OUT, "srt://:9000 rekey=disconnect", NULL },
    { IN, "srt://h:9000 rekey=keep", "\"rekey\" is for listeners: a caller "
      "connects anew when its passphrase is changed" },
    { IN, "rtp://:9000 rekey=keep", "parameter \"rekey\" belongs to SRT "
      "sources and outputs, and RTMP sources" },
    { IN, "srt://:9000 rekey=never", "\"rekey\" must be \"keep\" or "
      "\"disconnect\"" },
    { IN, "srt://:9000 a\"b\tc=keep", "unknown parameter \"a\"" },
    { OUT, "rtp://h:5004 fec=10x10", "unknown parameter \"fec\"" },
    { OUT, "rtp://h:5004 key=abc", "parameter \"key\" belongs to RTMP "
      "sources and outputs" },
    { OUT, "rtp://h:5004 key_file=abc", "parameter \"key_file\" belongs to "
      "RTMP sources and outputs" },
    { OUT, "rtp://h:5004 tls_verify=off", "parameter \"tls_verify\" belongs "
      "to RTMP sources and outputs" },
    { OUT, "rtp://h:5004 link_key_file=off", "unknown parameter "
      "\"link_key_file\"" },
    { OUT, "rtp://h:5004 program=1", "parameter \"program\" belongs to RTMP "
      "outputs" },
    { OUT, "rtp://h:5004 video=1", "parameter \"video\" belongs to RTMP "
      "outputs" },
    { OUT, "rtp://h:5004 audio=1", "parameter \"audio\" belongs to RTMP "
      "outputs" },
    { OUT, "rtp://h:5004 buffer=50ms",
      "parameter \"buffer\" belongs to RTP sources" },
    { IN, "udp://:5004 buffer=50ms",
      "parameter \"buffer\" belongs to RTP sources" },
    { IN, "srt://:5004 ttl=5",
      "parameter \"ttl\" belongs to RTP and UDP outputs" },
    { IN, "rtp://:5004 latency=5",
      "parameter \"latency\" belongs to SRT sources and outputs" },
    { OUT, "rtp://h:5004 timeout=5", "parameter \"timeout\" belongs to RTP "
      "and UDP sources, and SRT sources and outputs" },
    { OUT, "rtp://h:5004 allow=10.0.0.0/8", "parameter \"allow\" belongs to "
      "SRT and RTMP sources and outputs, and RTP and UDP sources" },
    { OUT, "rtp://h:5004 max_bandwidth=10m", "parameter \"max_bandwidth\" "
      "belongs to all sources" },
    { OUT, "rtp://h:5004 name=x", "parameter \"name\" belongs to all "
      "sources" },
    { IN, "rtp://:5004 exceed=drop", "\"exceed\" belongs to the "
      "\"mc_max_bandwidth\" directive" },
    { OUT, "rtp://h:5004 exceed=drop", "unknown parameter \"exceed\"" },

    { IN, "srt://:9000 passphrase=correct-horse battery",
      "a word without \"=\" that is neither \"backup\" nor \"off\"; a parameter with spaces is quoted "
      "as a whole: \"PARAM=SOME TEXT\"" },
    { IN, "srt://:9000 latency", "parameter \"latency\" has no value" },
    { IN, "rtp://:9000 latency", "parameter \"latency\" belongs to SRT "
      "sources and outputs" },

    { IN, "rtp://:5004 name=a/b", "\"name\" must be 1 to 64 letters, digits, "
      "\"_\", \".\" and \"-\", and neither \".\" nor \"..\"" },
    { IN, "rtp://:5004 name=..", "\"name\" must be 1 to 64 letters, digits, "
      "\"_\", \".\" and \"-\", and neither \".\" nor \"..\"" },
    { IN, "rtp://:5004 name=a name=a", "parameter \"name\" is given twice" },
    { IN, "rtp://:5004 description=\xff", "\"description\" must be at most "
      "255 characters of UTF-8, without control characters" },
    { IN, "rtp://:5004 description=\xc3", "\"description\" must be at most "
      "255 characters of UTF-8, without control characters" },
    { IN, "rtp://:5004?description=a%0Ab", "\"description\" must be at most "
      "255 characters of UTF-8, without control characters" },

    { IN, "rtp://:5004 max_bandwidth=20", NULL },
    { IN, "rtp://:5004 max_bandwidth=20x", "\"max_bandwidth\" must be a "
      "number of bits per second, such as \"800k\", \"20m\" or \"1g\"" },
    { IN, "rtp://:5004 max_bandwidth=m", "\"max_bandwidth\" must be a "
      "number of bits per second, such as \"800k\", \"20m\" or \"1g\"" },
    { IN, "rtp://:5004 max_bandwidth=-1", "\"max_bandwidth\" must be a "
      "number of bits per second, such as \"800k\", \"20m\" or \"1g\"" },
    { IN, "rtp://:5004 max_bandwidth=99999999999999999999g",
      "\"max_bandwidth\" must be a number of bits per second, such as "
      "\"800k\", \"20m\" or \"1g\"" },

    { IN, "rtp://:5004 allow=10.0.0.0/33", "network 1 of \"allow\" must be an "
      "address or like \"192.0.2.0/24\" or \"2001:db8::/32\", and \"all\" "
      "stands alone" },
    { IN, "rtp://:5004 allow=10.0.0.0/8,x", "network 2 of \"allow\" must be an "
      "address or like \"192.0.2.0/24\" or \"2001:db8::/32\", and \"all\" "
      "stands alone" },
    { IN, "rtp://:5004 allow=10.0.0.0/8,", "network 2 of \"allow\" must be an "
      "address or like \"192.0.2.0/24\" or \"2001:db8::/32\", and \"all\" "
      "stands alone" },
    { IN, "rtp://:5004 allow=all,10.0.0.0/8", "network 2 of \"allow\" must be "
      "an address or like \"192.0.2.0/24\" or \"2001:db8::/32\", and \"all\" "
      "stands alone" },
    { IN, "rtp://:5004 allow=10.0.0.0/8,all", "network 2 of \"allow\" must be "
      "an address or like \"192.0.2.0/24\" or \"2001:db8::/32\", and \"all\" "
      "stands alone" },

    /* SRT */

    { IN, "srt://:9000 mode=talker", "\"mode\" must be \"caller\", "
      "\"listener\", \"rendezvous\", \"client\" or \"server\"" },
    { IN, "srt://:9000 latency=-1", "\"latency\" must be a time of 0 to "
      "65535ms, such as \"200ms\" or \"2s\"" },
    { IN, "srt://:9000 latency=1x", "\"latency\" must be a time of 0 to "
      "65535ms, such as \"200ms\" or \"2s\"" },
    { IN, "srt://:9000 latency=1m30", "\"latency\" must be a time of 0 to "
      "65535ms, such as \"200ms\" or \"2s\"" },
    { IN, "srt://:9000 latency=66s", "\"latency\" must be a time of 0 to "
      "65535ms, such as \"200ms\" or \"2s\"" },
    { IN, "srt://:9000 latency=200000", "\"latency\" must be a time of 0 to "
      "65535ms; a bare number is milliseconds here, while FFmpeg counts in "
      "microseconds" },
    { IN, "srt://:9000 passphrase=123456789",
      "\"passphrase\" must be 10 to 79 characters long" },
    { IN, "srt://:9000 passphrase=12345678901234567890123456789012345678901234"
      "567890123456789012345678901234567890",
      "\"passphrase\" must be 10 to 79 characters long" },
    { IN, "srt://:9000?passphrase=0123456789%0D",
      "\"passphrase\" has a control character in it" },
    { IN, "srt://:9000?passphrase=0123456789%00",
      "\"passphrase\" has a control character in it" },
    { IN, "srt://:9000 passphrase=0123456789 passphrase_file=/x",
      "\"passphrase\" and \"passphrase_file\" exclude each other" },
    { IN, "srt://:9000 passphrase_file=/nowhere/at/all", "the file of "
      "\"passphrase_file\" cannot be opened (2: No such file or directory)" },
    { IN, "srt://:9000 passphrase_file=/", "the file of \"passphrase_file\" "
      "cannot be read" },
    { IN, "srt://:9000 passphrase_file=/dev/null", "the file of "
      "\"passphrase_file\" cannot be read" },
    { IN, "srt://:9000?passphrase_file=a%00b", "invalid name of the file of "
      "\"passphrase_file\"" },
    { IN, "srt://:9000 pbkeylen=20 passphrase=0123456789",
      "\"pbkeylen\" must be \"16\", \"24\" or \"32\" bytes" },
    { IN, "srt://:9000 pbkeylen=8 passphrase=0123456789",
      "\"pbkeylen\" must be \"16\", \"24\" or \"32\" bytes" },
    { IN, "srt://:9000 pbkeylen=33 passphrase=0123456789",
      "\"pbkeylen\" must be a number from 0 to 32" },
    { IN, "srt://:9000 pbkeylen=16", "\"pbkeylen\" without \"passphrase\" "
      "encrypts nothing, add \"passphrase\" or \"passphrase_file\"" },
    { IN, "srt://:9000 streamid=#!::m=publish", "the \"streamid\" of a "
      "listener needs a resource: a name or \"#!::r=NAME\"" },
    { IN, "srt://:9000 streamid=#!::r", "malformed \"streamid\", it must be a "
      "name or like \"#!::r=NAME\"" },
    { IN, "srt://:9000 streamid=#!::r=x,m=bidirectional", "\"m\" in "
      "\"streamid\" must be \"publish\" or \"request\"" },
    { OUT, "srt://:9000 streamid=#!::r=x,m=publish", "\"m=publish\" in "
      "\"streamid\" reaches sources only, an output has \"m=request\"" },
    { IN, "srt://h:9000 streamid=x mode=rendezvous", "a rendezvous carries no "
      "\"streamid\"" },
    { IN, "srt://:9000 maxbw=-2", "\"maxbw\" must be a number from -1 to "
      "1000000000000" },
    { IN, "srt://:9000 maxbw=1m", "\"maxbw\" must be a number from -1 to "
      "1000000000000" },
    { IN, "srt://:9000 maxbw=99999999999999999999", "\"maxbw\" must be a "
      "number from -1 to 1000000000000" },
    { IN, "srt://:9000 inputbw=-1", "\"inputbw\" must be a number from 0 to "
      "1000000000000" },
    { IN, "srt://:9000 oheadbw=4", "\"oheadbw\" must be a number from 5 to "
      "100" },
    { IN, "srt://:9000 oheadbw=101", "\"oheadbw\" must be a number from 5 to "
      "100" },
    { IN, "srt://:9000 oheadbw=0x", "\"oheadbw\" must be a number from 5 to "
      "100" },
    { IN, "srt://:9000 conntimeo=0", "\"conntimeo\" must be a time of 1 to "
      "600000ms, such as \"200ms\" or \"2s\"" },
    { IN, "srt://:9000 lossmaxttl=-1", "\"lossmaxttl\" must be a number from 0 "
      "to 1000000" },
    { IN, "srt://:9000 payloadsize=1457", "\"payloadsize\" must be a number "
      "from 188 to 1456" },
    { IN, "srt://:9000 mss=75", "\"mss\" must be a number from 76 to 1500" },
    { IN, "srt://:9000 mss=1359", "\"mss\" must be at least 1360, "
      "\"payloadsize\" and 44 bytes of headers" },
    { IN, "srt://:9000 mss=1363 packetfilter=fec,cols:10", "\"mss\" must be "
      "at least 1364, \"payloadsize\" and 48 bytes of headers" },
    { IN, "srt://:9000 payloadsize=1456 packetfilter=fec", "\"payloadsize\" "
      "must be at most 1452 with this \"packetfilter\"" },
    { IN, "srt://:9000 packetfilter=rs,cols:10", "\"packetfilter\" must begin "
      "with \"fec\"" },
    { IN, "srt://:9000 packetfilter=fec,rows:10", "\"packetfilter\" needs "
      "\"cols\", as in \"fec,cols:10,rows:5\"" },
    { IN, "srt://:9000 packetfilter=fec,cols:0", "\"packetfilter\" must be "
      "like \"fec,cols:10,rows:5,layout:staircase,arq:onreq\"" },
    { IN, "srt://:9000 packetfilter=fec,cols:10,layout:odd",
      "\"packetfilter\" must be like \"fec,cols:10,rows:5,layout:staircase,arq:onreq\"" },
    { IN, "srt://:9000 packetfilter=fec,cols:10,arq:often", "\"packetfilter\""
      " must be like \"fec,cols:10,rows:5,layout:staircase,arq:onreq\"" },
    { IN, "srt://:9000 packetfilter=fec,cols:10,rows:-x", "\"packetfilter\""
      " must be like \"fec,cols:10,rows:5,layout:staircase,arq:onreq\"" },
    { IN, "srt://:9000 packetfilter=fec,cols", "\"packetfilter\""
      " must be like \"fec,cols:10,rows:5,layout:staircase,arq:onreq\"" },
    { IN, "srt://:9000 packetfilter=fec,colums:10", "\"packetfilter\""
      " must be like \"fec,cols:10,rows:5,layout:staircase,arq:onreq\"" },
    { IN, "srt://:9000 fc=31", "\"fc\" must be a number from 32 to "
      "10000000" },
    { IN, "srt://:9000 tlpktdrop=2", "\"tlpktdrop\" must be \"0\" or \"1\"" },
    { IN, "srt://:9000 minversion=1.3", "\"minversion\" must be a version "
      "such as \"1.3.0\"" },
    { IN, "srt://:9000 minversion=1.3.0.1", "\"minversion\" must be a version "
      "such as \"1.3.0\"" },
    { IN, "srt://:9000 minversion=1.3.256", "\"minversion\" must be a version "
      "such as \"1.3.0\"" },
    { IN, "srt://:9000 ipttl=0", "\"ipttl\" must be a number from 1 to 255" },
    { IN, "srt://:9000 iptos=0x100", "\"iptos\" must be a number from 0 to "
      "255" },
    { IN, "srt://:9000 iptos=0xg", "\"iptos\" must be a number from 0 to "
      "255" },
    { IN, "srt://:9000 transtype=file", "\"transtype\" can only be "
      "\"live\"" },
    { IN, "srt://:9000 adapter=127.0.0.1", "\"adapter\" is for callers, a "
      "listener's address stands in the URL: \"srt://ADDRESS:9000\" with "
      "\"mode=listener\"" },
    { IN, "srt://:9000 port=9001", "\"port\" is the local port of a caller, a "
      "listener's stands in the URL" },
    { IN, "srt://h:9000 port=0", "\"port\" must be a number from 1 to "
      "65535" },
    { IN, "srt://h:9000 adapter=h", "\"adapter\" must be a local address" },
    { IN, "srt://h:9000 adapter=224.0.0.1",
      "\"adapter\" must be a local address" },
    { IN, "srt://[::1]:9000 adapter=127.0.0.1", "\"adapter\" and the host "
      "must both be IPv4 or both IPv6" },
    { IN, "srt://:9000 mode=caller", "\"mode=caller\" needs a host in the "
      "URL: \"srt://HOST:9000\"" },
    { IN, "srt://[::]:9000 mode=rendezvous", "\"mode=rendezvous\" needs a "
      "host in the URL: \"srt://HOST:9000\"" },
    { IN, "srt://host:9000 mode=listener", "a listener needs a local address, "
      "not a host name; \"srt://:9000\" is any" },
    { IN, "srt://host:9000 allow=10.0.0.0/8", "\"allow\" is for those who "
      "listen, this is a caller" },
    { OUT, "srt://host:9000 max_peers=5", "\"max_peers\" and \"min_peers\" "
      "are for listening outputs, this is a caller" },
    { OUT, "srt://:9000 max_peers=5 min_peers=6", "\"min_peers\" is greater "
      "than \"max_peers\"" },
    { OUT, "srt://:9000 max_peers=0", "\"max_peers\" must be a number from 1 "
      "to 100000" },
    { IN, "srt://:9000 max_peers=5", "parameter \"max_peers\" belongs to SRT "
      "and RTMP outputs" },
    { IN, "srt://239.1.1.1:9000", "SRT has no multicast, use \"rtp://\" or "
      "\"udp://\"" },

    /* RTP and UDP */

    { IN, "rtp://host:5004", "this source needs a local address or a "
      "multicast group, not a host name; \"rtp://:5004\" is any local "
      "address" },
    { IN, "rtp://:5004 source=10.0.0.1", "\"source\" is for multicast groups, "
      "others have \"allow\"" },
    { IN, "rtp://239.1.1.1:5004 source=host", "\"source\" must be the address "
      "of a sender, IPv4 as the group" },
    { IN, "rtp://239.1.1.1:5004 source=0.0.0.0", "\"source\" must be the "
      "address of a sender, IPv4 as the group" },
    { IN, "rtp://239.1.1.1:5004 source=239.1.1.1", "\"source\" must be the "
      "address of a sender, IPv4 as the group" },
    { IN, "rtp://[ff15::1]:5004 source=10.0.0.1", "\"source\" must be the "
      "address of a sender, IPv6 as the group" },
    { IN, "rtp://:5004 interface=eth0", "\"interface\" is for multicast "
      "groups" },
    { OUT, "rtp://host:5004 interface=eth0", "\"interface\" is for multicast "
      "groups" },
    { IN, "rtp://239.1.1.1:5004 interface=sixteencharacter", "\"interface\" "
      "must be a name of at most 15 characters such as \"eth0\", or a local "
      "address" },
    { IN, "rtp://239.1.1.1:5004 interface=a/b", "\"interface\" "
      "must be a name of at most 15 characters such as \"eth0\", or a local "
      "address" },
    { IN, "rtp://[ff15::1]:5004 interface=10.0.0.1", "\"interface\" must be a "
      "name such as \"eth0\", or the local address of an IPv4 group" },
    { IN, "rtp://239.1.1.1:5004 interface=0.0.0.0", "\"interface\" must be a "
      "name such as \"eth0\", or the local address of an IPv4 group" },
    { IN, "rtp://:5004 buffer=11s", "\"buffer\" must be a time of 0 to "
      "10000ms, such as \"200ms\" or \"2s\"" },
    { IN, "rtp://:5004 buffer_mode=long", "\"buffer_mode\" must be "
      "\"release\" or \"constant\"" },
    { OUT, "rtp://:5004", "an output needs a host or a group to send to: "
      "\"rtp://HOST:5004\"" },
    { OUT, "udp://[::]:5004", "an output needs a host or a group to send to: "
      "\"udp://HOST:5004\"" },
    { OUT, "rtp://h:5004 ttl=256", "\"ttl\" must be a number from 0 to "
      "255" },
    { OUT, "rtp://h:5004 ttl=0", "\"ttl=0\" is for multicast groups only" },
    { OUT, "rtp://h:5004 pt=128", "\"pt\" must be a number from 0 to 127" },
    { OUT, "udp://h:5004 pt=33", "parameter \"pt\" belongs to RTP outputs" },
    { OUT, "rtp://h:5004 ssrc=0x100000000", "\"ssrc\" must be a number from 0 "
      "to 4294967295" },
    { OUT, "rtp://h:5004 pkt_size=1317", "\"pkt_size\" must be a number from "
      "188 to 1316" },
    { OUT, "rtp://h:5004 pkt_size=1300", "\"pkt_size\" must be a multiple of "
      "188, the size of a TS packet" },
    { OUT, "rtp://h:5004 rtp=new ssrc=1 pkt_size=188", NULL },
    { OUT, "rtp://h:5004 rtp=keep ssrc=1", "\"rtp=keep\" keeps the SSRC, for "
      "\"ssrc\" use \"rtp=new\"" },
    { OUT, "rtp://h:5004 rtp=keep pkt_size=188", "\"rtp=keep\" keeps the "
      "datagrams, for \"pkt_size\" use \"rtp=new\"" },
    { OUT, "rtp://h:5004 pace=fast", "\"pace\" must be \"off\" or \"pcr\"" },

    /* RTMP */

    { IN, "rtmps:///live/a", "\"rtmps:///\" cannot listen: write "
      "\"rtmp:///APP/NAME\", and let a server of nginx's stream module with "
      "\"listen PORT ssl\" pass connections on to the \"rtmp\" block" },
    { IN, "rtmp://", RTMP_LISTENS },
    { IN, "rtmp:///", RTMP_LISTENS },
    { IN, "rtmp:///live", RTMP_LISTENS },
    { IN, "rtmp:///live/", RTMP_LISTENS },
    { IN, "rtmp:////a", RTMP_LISTENS },
    { OUT, "rtmp:///live/a/b", RTMP_LISTENS },
    { IN, "rtmp:///live/a?key=secret", "a query has no meaning in "
      "\"rtmp:///APP/NAME\", parameters are words of their own; what "
      "publishers must send is \"key\"" },
    { IN, "rtmp://?a", "a query has no meaning in "
      "\"rtmp:///APP/NAME\", parameters are words of their own; what "
      "publishers must send is \"key\"" },
    { IN, "rtmp://:1935/live/a", RTMP_NO_HOST },
    { IN, "rtmp://0.0.0.0/live/a", RTMP_NO_HOST },
    { IN, "rtmps://[::]/live/a", RTMP_NO_HOST },
    { OUT, "rtmp://239.1.1.1/live/a", RTMP_NO_HOST },
    { IN, "rtmp://h:0/live/a", "invalid port in the URL, it must be a number "
      "from 1 to 65535" },
    { IN, "rtmp://h:/live/a", "invalid port in the URL, it must be a number "
      "from 1 to 65535" },
    { IN, "rtmp://::1/live/a", "an IPv6 address stands in brackets: "
      "\"rtmp://[ADDRESS]:PORT\"" },
    { IN, "rtmp://@h/live/a", RTMP_NO_USER },
    { OUT, "rtmps://user:secret@h/live/a", RTMP_NO_USER },
    { OUT, "rtmp://h/live/a@b", NULL },
    { IN, "rtmp://h", RTMP_CONNECTS("rtmp") },
    { IN, "rtmp://h/", RTMP_CONNECTS("rtmp") },
    { IN, "rtmp://h/live", RTMP_CONNECTS("rtmp") },
    { IN, "rtmp://h/live/", RTMP_CONNECTS("rtmp") },
    { IN, "rtmp://h//a", RTMP_CONNECTS("rtmp") },
    { IN, "rtmp://h?secret", RTMP_CONNECTS("rtmp") },
    { OUT, "rtmps://h/live/?secret", RTMP_CONNECTS("rtmps") },
    { OUT, "rtmps://h/?secret key=secret", "no application in the URL, with "
      "\"key\" it must be like \"rtmps://HOST/APP\"" },
    { OUT, "rtmp://h/// key=secret", "no application in the URL, with "
      "\"key\" it must be like \"rtmp://HOST/APP\"" },
    { OUT, "rtmp://h/live/a\tb", RTMP_PATH },
    { OUT, "rtmp://h/live/a?\x7f", RTMP_PATH },
    { IN, "rtmp:///live/\xc3\xa9", RTMP_PATH },

    { IN, "rtmp:///live/a key=a\tb", "\"key\" has a space, a control character "
      "or one beyond ASCII in it" },
    { OUT, "rtmp://h/live key=\xc3\xa9", "\"key\" has a space, a control "
      "character or one beyond ASCII in it" },
    { IN, "rtmp:///live/a key=a&b", "publishers cannot send a \"key\" with "
      "\"&\" in it" },
    { OUT, "rtmp://h/live key=a&b?c=d", NULL },
    { IN, "rtmp://h/live key=a key_file=b", "\"key\" and \"key_file\" exclude "
      "each other" },
    { OUT, "rtmp:///live/a key=secret", "players of a listening output have "
      "no \"key\", use \"allow\"" },
    { OUT, "rtmp:///live/a min_peers=3 max_peers=2", "\"min_peers\" is greater "
      "than \"max_peers\"" },
    { OUT, "rtmp://h/live/a min_peers=3", "\"max_peers\" and \"min_peers\" are "
      "for listening outputs, this is a caller" },
    { OUT, "rtmp://h/live/a allow=all", "\"allow\" is for those who listen, "
      "this is a caller" },
    { IN, "rtmp://h/live/a rekey=keep", "\"rekey\" is for listeners: a caller "
      "connects anew when its key is changed" },
    { OUT, "rtmp:///live/a rekey=keep", "parameter \"rekey\" belongs to SRT "
      "sources and outputs, and RTMP sources" },
    { IN, "rtmp:///live/a tls_verify=on", "\"tls_verify\" is for "
      "\"rtmps://HOST\" URLs, \"rtmp:///\" has no TLS" },
    { IN, "rtmp://h/live/a tls_verify=off", "\"tls_verify\" is for "
      "\"rtmps://HOST\" URLs, \"rtmp://\" has no TLS" },
    { IN, "rtmps://h/live/a tls_verify=1", "\"tls_verify\" must be \"off\" or "
      "\"on\"" },
    { IN, "rtmp:///live/a muxrate=5m maxrate=6m", "\"muxrate\" and "
      "\"maxrate\" exclude each other: the rate is constant, or it has a "
      "limit" },
    { IN, "rtmp:///live/a muxrate=99999", "\"muxrate\" must be at least 100k "
      "bits per second" },
    { IN, "rtmp:///live/a maxrate=0", "\"maxrate\" must be at least 100k "
      "bits per second" },
    { IN, "rtmp:///live/a maxrate=5mb", "\"maxrate\" must be a number of bits "
      "per second, such as \"800k\", \"20m\" or \"1g\"" },
    { OUT, "rtmp:///live/a muxrate=5m", "parameter \"muxrate\" belongs to "
      "RTMP sources" },
    { IN, "rtmp:///live/a program=1", "parameter \"program\" belongs to RTMP "
      "outputs" },
    { OUT, "rtmp:///live/a program=0", "\"program\" must be a number from 1 "
      "to 65535" },
    { OUT, "rtmp:///live/a video=8191", "\"video\" must be a number from 16 "
      "to 8190" },
    { OUT, "rtmp:///live/a audio=15", RTMP_AUDIO },
    { OUT, "rtmp:///live/a audio=0x1fff", RTMP_AUDIO },
    { OUT, "rtmp:///live/a audio=en", RTMP_AUDIO },
    { OUT, "rtmp:///live/a audio=engl", RTMP_AUDIO },
    { OUT, "rtmp:///live/a audio=e-g", RTMP_AUDIO },
    { IN, "rtmp:///live/a passphrase=secretsecret", "parameter \"passphrase\" "
      "belongs to SRT sources and outputs; RTMP has a \"key\"" },
    { IN, "rtmp:///live/a latency=100", "parameter \"latency\" belongs to SRT "
      "sources and outputs; RTMP runs over TCP and has none to set" },
    { IN, "rtmp:///live/a mode=listener", "parameter \"mode\" belongs to SRT "
      "sources and outputs; \"rtmp:///APP/NAME\" listens, a URL with a host "
      "connects" },
    { OUT, "rtmp:///live/a streamid=x", "parameter \"streamid\" belongs to "
      "SRT sources and outputs; the name of an RTMP stream stands in the URL, "
      "or is the \"key\"" },
    { OUT, "rtmp:///live/a ttl=1", "parameter \"ttl\" belongs to RTP and UDP "
      "outputs" },
    { IN, "rtmp:///live/a timeout=1s", "parameter \"timeout\" belongs to RTP "
      "and UDP sources, and SRT sources and outputs" },
    { OUT, "rtmp:///live/a tls_verfy=on", "unknown parameter \"tls_verfy\", "
      "did you mean \"tls_verify\"?" },

    { 0, NULL, NULL }
};


/* what is right, and the line that it becomes in a flow with an SRT source */

static definition_case_t  lines[] = {

    { IN, "srt://:9000",
      "source primary source listener srt://:9000 rcvlatency=120 "
      "peerlatency=120" },
    { IN, "SRT://:9000/",
      "source primary source listener srt://:9000 rcvlatency=120 "
      "peerlatency=120" },
    { IN, "srt://0.0.0.0:9000?",
      "source primary source listener srt://:9000 rcvlatency=120 "
      "peerlatency=120" },
    { IN, "srt://[::]:9000?&&",
      "source primary source listener srt://[::]:9000 rcvlatency=120 "
      "peerlatency=120" },
    { IN, "srt://127.0.0.1:9000 mode=server backup off name=a.b",
      "source backup a.b listener srt://127.0.0.1:9000 off rcvlatency=120 "
      "peerlatency=120" },
    { IN, "srt://Host.Example:9000",
      "source primary source caller srt://host.example:9000 rcvlatency=120 "
      "peerlatency=120" },
    { IN, "srt://[2001:DB8:0::1]:9000 adapter=::1 port=7000",
      "source primary source caller srt://[2001:db8::1]:9000 rcvlatency=120 "
      "peerlatency=120 adapter=::1 port=7000" },
    { IN, "srt://h:9000?mode=rendezvous&latency=1s",
      "source primary source rendezvous srt://h:9000 rcvlatency=1000 "
      "peerlatency=1000" },
    { IN, "srt://:9000 latency=50 rcvlatency=80ms",
      "source primary source listener srt://:9000 rcvlatency=80 "
      "peerlatency=50" },
    { IN, "srt://:9000?streamid=#!::r=a+b%40c,m=publish",
      "source primary source listener srt://:9000 rcvlatency=120 "
      "peerlatency=120 streamid=#!::r=a+b@c,m=publish" },
    { IN, "srt://:9000 streamid=%41 passphrase=a\tb%c\"d;efg pbkeylen=32",
      "source primary source listener srt://:9000 rcvlatency=120 "
      "peerlatency=120 passphrase=a%20b%25c\"d;efg pbkeylen=32 "
      "streamid=%2541" },
    { IN, "srt://h:9000 streamid=#!::m=request,u=x",
      "source primary source caller srt://h:9000 rcvlatency=120 "
      "peerlatency=120 streamid=#!::m=request,u=x" },
    { IN, "srt://:9000 allow=10.0.0.0/8,2001:db8::/32,::1,1.2.3.4",
      "source primary source listener srt://:9000 "
      "allow=10.0.0.0/8,2001:db8::/32,::1/128,1.2.3.4/32 rcvlatency=120 "
      "peerlatency=120" },
    { IN, "srt://:9000 allow=all max_bandwidth=2m description=A\tb\xc3\xa9",
      "source primary source listener srt://:9000 description=A%20b%C3%A9 "
      "max_bandwidth=2000000 exceed=drop rcvlatency=120 peerlatency=120" },
    { IN, "srt://:9000 maxbw=-1 inputbw=0 mininputbw=1000000 oheadbw=5 "
      "conntimeo=3s peeridletimeo=500 lossmaxttl=0 "
      "packetfilter=fec,cols:10,rows:-5,layout:even,arq:always "
      "payloadsize=1316 mss=1500 fc=8192 rcvbuf=1000000 sndbuf=1000000 "
      "tlpktdrop=no nakreport=TRUE kmrefreshrate=1000 enforcedencryption=on "
      "minversion=1.3.0 ipttl=64 iptos=0xB8 transtype=live",
      "source primary source listener srt://:9000 rcvlatency=120 "
      "peerlatency=120 inputbw=0 mininputbw=1000000 oheadbw=5 "
      "conntimeo=3000 peeridletimeo=500 lossmaxttl=0 "
      "packetfilter=fec,cols:10,rows:-5,layout:even,arq:always "
      "payloadsize=1316 mss=1500 fc=8192 rcvbuf=1000000 sndbuf=1000000 "
      "tlpktdrop=0 nakreport=1 kmrefreshrate=1000 enforcedencryption=1 "
      "minversion=1.3.0 ipttl=64 iptos=184" },
    { OUT, "srt://:9100 max_peers=10 min_peers=1 allow=10.0.0.0/8",
      "output primary x listener srt://:9100 allow=10.0.0.0/8 max_peers=10 "
      "min_peers=1 rcvlatency=120 peerlatency=120" },
    { OUT, "srt://h:9100 max_peers=10", NULL },
    { IN, "rtp://:5004",
      "source primary source receive rtp://:5004 buffer=50 "
      "buffer_mode=release timeout=2000" },
    { IN, "rtp://@:5004 buffer=0 buffer_mode=constant timeout=5s "
      "allow=10.1.2.3",
      "source primary source receive rtp://:5004 allow=10.1.2.3/32 buffer=0 "
      "buffer_mode=constant timeout=5000" },
    { IN, "udp://@239.1.1.1:5004 interface=eth0 source=10.0.0.1",
      "source primary source multicast udp://239.1.1.1:5004 interface=eth0 "
      "source=10.0.0.1 timeout=2000" },
    { IN, "udp://239.1.1.1:5004 interface=10.0.0.1",
      "source primary source multicast udp://239.1.1.1:5004 "
      "interface=10.0.0.1 timeout=2000" },
    { IN, "udp://[FF15::1]:5004 interface=lo source=2001:db8::1",
      "source primary source multicast udp://[ff15::1]:5004 interface=lo "
      "source=2001:db8::1 timeout=2000" },
    { IN, "udp://[::1]:5004",
      "source primary source receive udp://[::1]:5004 timeout=2000" },
    { OUT, "udp://239.1.1.1:5004?ttl=0&tos=0x10&pkt_size=1316&pace=off",
      "output primary x send udp://239.1.1.1:5004 ttl=0 tos=16 pkt_size=1316 "
      "pace=off" },
    { OUT, "udp://h:5004", "output primary x send udp://h:5004 pace=pcr" },
    { OUT, "rtp://h:5004 ssrc=0 ttl=16",
      "output primary x send rtp://h:5004 ttl=16 pt=33 ssrc=0 rtp=new "
      "pace=pcr" },
    { OUT, "rtp://h:5004 pt=96",
      "output primary x send rtp://h:5004 pt=96 rtp=new pace=pcr" },
    { IN, "rtmp:///live/a",
      "source primary source listener rtmp:///live/a" },
    { IN, "RTMP:///Live/A%20#+ key=s%3d! rekey=disconnect allow=10.0.0.0/8 "
      "muxrate=5m max_bandwidth=10m description=x name=in off",
      "source primary in listener rtmp:///Live/A%20#+ off description=x "
      "allow=10.0.0.0/8 max_bandwidth=10000000 exceed=drop key=s%253d! "
      "rekey=disconnect muxrate=5000000" },
    { IN, "rtmp://H.Example/app/inst/a?b=c/d&e=%f maxrate=100k backup",
      "source backup source caller rtmp://h.example/app/inst/a?b=c/d&e=%f "
      "maxrate=100000" },
    { IN, "rtmps://[2001:DB8::0:1]:1443/a/b",
      "source primary source caller rtmps://[2001:db8::1]:1443/a/b "
      "tls_verify=on" },
    { OUT, "RTMPS://h/rtmp/?t=a/b/ key=s-1?x=y tls_verify=off",
      "output primary x caller rtmps://h/rtmp?t=a/b/ key=s-1?x=y "
      "tls_verify=off" },
    { OUT, "rtmp://h:1935/a/b// key=k program=65535 video=0x10 audio=8190",
      "output primary x caller rtmp://h:1935/a/b key=k program=65535 "
      "video=16 audio=8190" },
    { OUT, "rtmp:///live/x allow=::1 max_peers=5 min_peers=5 audio=ENG",
      "output primary x listener rtmp:///live/x allow=::1/128 max_peers=5 "
      "min_peers=5 audio=eng" },

    { 0, NULL, NULL }
};


static void
init_flow(ngx_pool_t *pool, ngx_mc_flow_def_t *flow, const char *name,
    ngx_uint_t line)
{
    ngx_memzero(flow, sizeof(ngx_mc_flow_def_t));

    flow->name = shim_str(name);
    flow->latency = 120;
    flow->batch = 2;
    flow->file = shim_str("nginx.conf");
    flow->line = line;

    (void) ngx_array_init(&flow->sources, pool, 2,
                          sizeof(ngx_mc_endpoint_def_t));
    (void) ngx_array_init(&flow->outputs, pool, 4,
                          sizeof(ngx_mc_endpoint_def_t));
}


static ngx_mc_endpoint_def_t *
add(ngx_mc_parse_t *p, ngx_mc_flow_def_t *flow, ngx_uint_t direction,
    const char *name, const char *words)
{
    ngx_mc_endpoint_def_t  *def;

    def = ngx_array_push((direction == IN) ? &flow->sources : &flow->outputs);

    if (parse_words(p, def, direction, words) != NGX_OK) {
        ok(0, "%s: %s", words, p->err);
        exit(1);
    }

    if (name) {
        def->name = shim_str(name);
    }

    def->file = shim_str("nginx.conf");
    def->line = flow->line + flow->sources.nelts + flow->outputs.nelts;

    return def;
}


static void
test_mistakes(void)
{
    ngx_int_t               rc;
    ngx_mc_parse_t          p;
    definition_case_t      *c;
    ngx_mc_endpoint_def_t   def;

    ngx_memzero(&p, sizeof(p));

    for (c = mistakes; c->words; c++) {

        p.pool = ngx_create_pool(4096, &shim_log);
        p.cf = shim_conf(p.pool, "nginx.conf", 1);

        rc = parse_words(&p, &def, c->direction, c->words);

        if (c->expected == NULL) {
            is_c(p.err, "", "%s is right", c->words);

        } else if (rc == NGX_OK) {
            ok(0, "%s passes", c->words);

        } else {
            is_c(p.err, c->expected, "%s", c->words);
        }

        ngx_destroy_pool(p.pool);
    }
}


static void
test_lines(void)
{
    ngx_str_t               text;
    ngx_mc_parse_t          p;
    ngx_mc_flow_def_t       flow, copy;
    definition_case_t      *c;
    ngx_mc_endpoint_def_t  *def;

    ngx_memzero(&p, sizeof(p));

    for (c = lines; c->words; c++) {

        p.pool = ngx_create_pool(4096, &shim_log);

        init_flow(p.pool, &flow, "a", 1);

        def = ngx_array_push(c->direction == IN ? &flow.sources
                                                : &flow.outputs);

        if (parse_words(&p, def, c->direction, c->words) != NGX_OK) {
            ok(c->expected == NULL, "%s: %s", c->words, p.err);
            ngx_destroy_pool(p.pool);
            continue;
        }

        if (c->direction == OUT) {
            def->name = shim_str("x");
            add(&p, &flow, IN, NULL, "srt://:9000");
        }

        if (ngx_mc_def_write(&p, &flow) != NGX_OK) {
            ok(0, "%s written: %s", c->words, p.err);
            exit(1);
        }

        is(def->text, c->expected, "%s", c->words);

        text = flow.text;

        if (ngx_mc_def_read(&p, &copy, &text) != NGX_OK
            || ngx_mc_def_write(&p, &copy) != NGX_OK)
        {
            ok(0, "%s read: %s", c->words, p.err);
            exit(1);
        }

        ok(copy.text.len == text.len
           && memcmp(copy.text.data, text.data, text.len) == 0,
           "%s is read back", c->words);

        ngx_destroy_pool(p.pool);
    }
}


static void
test_flow_text(void)
{
    ngx_str_t               all;
    ngx_mc_parse_t          p;
    ngx_mc_flow_def_t       flow, copy;
    ngx_mc_endpoint_def_t  *def;

    ngx_memzero(&p, sizeof(p));
    p.pool = ngx_create_pool(4096, &shim_log);

    init_flow(p.pool, &flow, "studio-a", 1);

    flow.title = shim_str("Studio A 100%");
    flow.description = shim_str("x");
    flow.stopped = 1;
    flow.batch = 0;
    flow.max_bandwidth = 20000000;
    flow.exceed = NGX_MC_EXCEED_ALARM;
    flow.latency = 200;

    all = shim_str("10.0.0.0/8");
    ok(ngx_mc_def_add_cidr(&p, &flow.allow, &all) == NGX_OK, "a CIDR");

    add(&p, &flow, IN, NULL, "rtp://:5004");
    add(&p, &flow, IN, NULL, "srt://h:5004 backup max_bandwidth=0");
    add(&p, &flow, OUT, "keep", "rtp://h:5004");
    add(&p, &flow, OUT, "keep", "rtp://h:5004 backup");
    add(&p, &flow, OUT, "new", "rtp://h:5004 ssrc=7");
    add(&p, &flow, OUT, "size", "rtp://h:5004 pkt_size=188");
    add(&p, &flow, OUT, "srt", "srt://:5004");

    is_num(ngx_mc_def_write(&p, &flow), NGX_OK, "a flow is written");

    is(flow.text,
       "flow studio-a\n"
       "title Studio%20A%20100%25\n"
       "description x\n"
       "state off\n"
       "batch 0\n"
       "bandwidth 20000000 alarm\n"
       "source primary source receive rtp://:5004 allow=10.0.0.0/8 "
       "max_bandwidth=20000000 exceed=alarm buffer=50 buffer_mode=release "
       "timeout=2000\n"
       "source backup source caller srt://h:5004 rcvlatency=200 "
       "peerlatency=200\n"
       "output primary keep send rtp://h:5004 rtp=keep pace=off\n"
       "output backup keep send rtp://h:5004 pt=33 rtp=new pace=pcr\n"
       "output primary new send rtp://h:5004 pt=33 ssrc=7 rtp=new pace=off\n"
       "output primary size send rtp://h:5004 pt=33 pkt_size=188 rtp=new "
       "pace=off\n"
       "output primary srt listener srt://:5004 rcvlatency=200 "
       "peerlatency=200\n",
       "the text of a flow");

    is_num(ngx_mc_def_read(&p, &copy, &flow.text), NGX_OK, "it is read");

    is(copy.name, "studio-a", "name");
    is(copy.title, "Studio A 100%", "title");
    is(copy.description, "x", "description");
    is_num(copy.stopped, 1, "state");
    is_num(copy.batch, 0, "batch");
    is_num(copy.max_bandwidth, 20000000, "bandwidth");
    is_num(copy.exceed, NGX_MC_EXCEED_ALARM, "policy");
    is_num(copy.sources.nelts, 2, "sources");
    is_num(copy.outputs.nelts, 5, "outputs");

    def = copy.sources.elts;

    is_num(def[0].protocol, NGX_MC_RTP, "protocol");
    is_num(def[0].port, 5004, "port");
    is_num(def[0].host.len, 0, "host");
    is(def[0].url, "rtp://:5004", "url");
    is(def[0].name, "source", "name of a source");
    is_num(def[0].mode, NGX_MC_MODE_RECEIVE, "mode");
    is_num(def[0].params.allow->nelts, 1, "allow");
    is_num(def[0].params.max_bandwidth, 20000000, "max_bandwidth");
    is_num(def[0].params.exceed, NGX_MC_EXCEED_ALARM, "exceed");
    is_num(def[0].params.buffer, 50, "buffer");
    is_num(def[0].params.latency, NGX_CONF_UNSET, "latency");
    is_num(def[1].pipeline, NGX_MC_BACKUP, "pipeline");
    is_num(def[1].mode, NGX_MC_MODE_CALLER, "mode of a caller");
    is_num(def[1].params.max_bandwidth, 0, "no max_bandwidth");
    is_num(def[1].params.rcvlatency, 200, "rcvlatency");
    ok(def[1].params.allow == NULL, "callers inherit no list");
    is(def[1].text, "source backup source caller srt://h:5004 rcvlatency=200 "
       "peerlatency=200", "text of a source");

    flow.latency = 70000;
    flow.outputs.nelts = 0;
    add(&p, &flow, OUT, "srt", "srt://:5004");
    is_num(ngx_mc_def_write(&p, &flow), NGX_ERROR, "too long an mc_latency");
    is_c(p.err, "\"mc_latency\" must be at most 65535ms", "is told");

    ngx_destroy_pool(p.pool);
}


static void
test_bad_text(void)
{
    ngx_str_t           text;
    ngx_uint_t          i;
    ngx_mc_parse_t      p;
    ngx_mc_flow_def_t   flow;
    static const char  *bad[] = {
        "",
        "flow a",
        "\n",
        "flow\n",
        "batch 2\n",
        "flow a b\n",
        "flow a\ngroup a\n",
        "flow a\nbatch x\n",
        "flow a\nbatch -1\n",
        "flow a\nstate on\n",
        "flow a\nbandwidth 0 drop\n",
        "flow a\nbandwidth 1\n",
        "flow a\nbandwidth 1 never\n",
        "flow a\ntitle a%\n",
        "flow a\ntitle a%2\n",
        "flow a\nnothing a\n",
        "flow a\nsource\n",
        "flow a\nsource primary\n",
        "flow a\nsource primary a\n",
        "flow a\nsource primary a listener\n",
        "flow a\nsource third a listener srt://:9000\n",
        "flow a\nsource primary a listens srt://:9000\n",
        "flow a\nsource primary a listener srt://:9000?latency=5\n",
        "flow a\nsource primary a listener srt://\n",
        "flow a\nsource primary a listener srt://:9000 x\n",
        "flow a\nsource primary a listener srt://:9000 x=1\n",
        "flow a\nsource primary a listener srt://:9000 latency=1\n",
        "flow a\nsource primary a listener srt://:9000 "
            "passphrase_file=/x\n",
        "flow a\nsource primary a listener srt://:9000  off\n",
        "flow a\nsource primary a listener srt://:9000 \n",
        "flow a\nsource primary a listener srt://:9000 mss=x\n",
        "flow a\nsource primary a listener srt://:9000 streamid=%x\n",
        "flow a\nsource primary a listener rtmp:///live\n",
        "flow a\nsource primary a listener rtmp://h/live/a\n",
        "flow a\nsource primary a caller rtmp:///live/a\n",
        "flow a\nsource primary a caller rtmp://h/live\n",
        "flow a\nsource primary a caller rtmp://h/live key_file=a\n",
        "flow a\noutput primary a caller rtmp://h/live/a audio=5\n",
        NULL
    };

    ngx_memzero(&p, sizeof(p));

    for (i = 0; bad[i]; i++) {
        p.pool = ngx_create_pool(4096, &shim_log);
        p.err[0] = '\0';

        text = shim_str(bad[i]);

        ok(ngx_mc_def_read(&p, &flow, &text) == NGX_ERROR && p.err[0],
           "bad text %u: %s", (unsigned) i, p.err);

        ngx_destroy_pool(p.pool);
    }
}


static void
test_values(void)
{
    size_t                  i;
    ngx_str_t               s;
    ngx_mc_parse_t          p;
    ngx_array_t            *cidrs;
    ngx_mc_param_t         *prm;
    static struct {
        const char         *text;
        int64_t             rate;
    } rates[] = {
        { "0", 0 }, { "1", 1 }, { "20m", 20000000 }, { "20M", 20000000 },
        { "800k", 800000 }, { "1g", 1000000000 }, { "1000g", 1000000000000 },
        { "1001g", NGX_ERROR }, { "", NGX_ERROR }, { "k", NGX_ERROR },
        { "1.5m", NGX_ERROR }, { "1mk", NGX_ERROR }, { "-1", NGX_ERROR },
        { NULL, 0 }
    };

    for (i = 0; rates[i].text; i++) {
        s = shim_str(rates[i].text);
        is_num(ngx_mc_parse_rate(&s), rates[i].rate, "rate \"%s\"",
               rates[i].text);
    }

    s = shim_str("a.B_9-");
    is_num(ngx_mc_def_check_name(&s), NGX_OK, "a name");
    s = shim_str("...");
    is_num(ngx_mc_def_check_name(&s), NGX_OK, "three dots");
    s = shim_str("");
    is_num(ngx_mc_def_check_name(&s), NGX_DECLINED, "no name");
    s = shim_str(".");
    is_num(ngx_mc_def_check_name(&s), NGX_DECLINED, "a dot");
    s = shim_str("0123456789012345678901234567890123456789012345678901234567"
                 "8901234");
    is_num(ngx_mc_def_check_name(&s), NGX_DECLINED, "65 characters");
    s.len--;
    is_num(ngx_mc_def_check_name(&s), NGX_OK, "64 characters");

    s = shim_str("\xf0\x9f\x8e\xa5 \xc3\xa9");
    is_num(ngx_mc_def_check_text(&s), NGX_OK, "UTF-8");
    s = shim_str("\xed\xa0\x80");
    is_num(ngx_mc_def_check_text(&s), NGX_DECLINED, "a surrogate");
    s = shim_str("\xc2\x80");
    is_num(ngx_mc_def_check_text(&s), NGX_DECLINED, "a C1 control");
    s = shim_str("a\xf0\x9f");
    is_num(ngx_mc_def_check_text(&s), NGX_DECLINED, "cut short");

    ngx_memzero(&p, sizeof(p));
    p.pool = ngx_create_pool(4096, &shim_log);
    p.cf = shim_conf(p.pool, "nginx.conf", 7);

    shim_log_reset();
    cidrs = NULL;
    s = shim_str("10.0.0.1/8");
    is_num(ngx_mc_def_add_cidr(&p, &cidrs, &s), NGX_OK, "low bits pass");
    is_c(shim_logged, "[warn] low address bits of 10.0.0.1/8 are meaningless "
         "in nginx.conf:7\n", "with a warning");

    s = shim_str("all");
    is_num(ngx_mc_def_add_cidr(&p, &cidrs, &s), NGX_ERROR, "all after one");
    s = shim_str("10.0.0.0/8/8");
    is_num(ngx_mc_def_add_cidr(&p, &cidrs, &s), NGX_ERROR, "a bad one");
    is_c(p.err, "\"10.0.0.0/8/8\" must be an address or like "
         "\"192.0.2.0/24\" or \"2001:db8::/32\", and \"all\" stands alone",
         "is told");

    cidrs = NULL;
    s = shim_str("all");
    is_num(ngx_mc_def_add_cidr(&p, &cidrs, &s), NGX_OK, "all");
    ok(cidrs && cidrs->nelts == 0, "is an empty array");

    for (i = 0, prm = ngx_mc_params; prm->name.len; prm++) {
        i++;
    }

    ok(i <= NGX_MC_GIVEN_WORDS * 64, "%d parameters have a bit each",
       (int) i);

    ngx_destroy_pool(p.pool);
}


static void
test_warnings(void)
{
    ngx_mc_parse_t         p;
    ngx_mc_endpoint_def_t  def;

    ngx_memzero(&p, sizeof(p));
    p.pool = ngx_create_pool(4096, &shim_log);
    p.cf = shim_conf(p.pool, "nginx.conf", 7);

    shim_log_reset();
    parse_words(&p, &def, IN, "srt://:9000 latency=40000");
    is_c(shim_logged, "[warn] the number of \"latency\" is milliseconds here, "
         "while FFmpeg counts in microseconds; with a unit, \"40s\", it is "
         "beyond doubt in nginx.conf:7\n", "a bare number above 30000");

    shim_log_reset();
    parse_words(&p, &def, IN, "srt://:9000 latency=40s conntimeo=30000");
    is_c(shim_logged, "", "but not with a unit, nor below");

    shim_log_reset();
    parse_words(&p, &def, IN, "srt://:9000?linger=5&transtype=live&tsbpd=1");
    is_c(shim_logged, "[warn] parameter \"linger\" has no meaning for live "
         "streams, it is ignored in nginx.conf:7\n"
         "[warn] parameter \"tsbpd\" has no meaning for live streams, it is "
         "ignored in nginx.conf:7\n", "names of libsrt's for files");

    shim_log_reset();
    parse_words(&p, &def, IN, "rtp://:5004 allow=1.2.3.4,10.0.0.1/8");
    is_c(shim_logged, "[warn] low address bits of network 2 of \"allow\" are "
         "meaningless in nginx.conf:7\n", "low bits of a network");

    ngx_destroy_pool(p.pool);
}


static void
test_secret_files(void)
{
    int                    fd;
    char                   words[256], name[] = "/tmp/mc-unit-XXXXXX";
    ssize_t                n;
    ngx_uint_t             i;
    ngx_mc_parse_t         p;
    ngx_mc_endpoint_def_t  def;
    static struct {
        const char        *text;
        const char        *passphrase;
        const char        *err;
    } files[] = {
        { "0123456789", "0123456789", NULL },
        { "0123456789\n", "0123456789", NULL },
        { "0123456789\r\n", "0123456789", NULL },
        { "0123 456789 \nsecond line\n", "0123 456789 ", NULL },
        { "012345678\n", NULL, "the first line of the file of "
          "\"passphrase_file\" must be 10 to 79 characters long" },
        { "\n0123456789\n", NULL, "the first line of the file of "
          "\"passphrase_file\" must be 10 to 79 characters long" },
        { "0123456789\t\n", NULL, "\"passphrase_file\" has a control "
          "character in it" },
        { "", NULL, "the first line of the file of "
          "\"passphrase_file\" must be 10 to 79 characters long" },
        { NULL, NULL, NULL }
    };

    ngx_memzero(&p, sizeof(p));

    fd = mkstemp(name);

    for (i = 0; files[i].text; i++) {

        n = ftruncate(fd, 0);
        n = pwrite(fd, files[i].text, strlen(files[i].text), 0);
        is_num(n, (ssize_t) strlen(files[i].text), "a file is written");

        p.pool = ngx_create_pool(4096, &shim_log);
        p.cf = shim_conf(p.pool, "nginx.conf", 7);

        /* relative to the prefix, which is "/" */
        sprintf(words, "srt://:9000 passphrase_file=%s",
                name + (i ? 0 : 1));

        parse_words(&p, &def, IN, words);

        if (files[i].err) {
            is_c(p.err, files[i].err, "file %d", (int) i);

        } else {
            is_c(p.err, "", "file %d is right", (int) i);
            is(def.params.passphrase, files[i].passphrase, "file %d",
               (int) i);
        }

        ngx_destroy_pool(p.pool);
    }

    p.pool = ngx_create_pool(4096, &shim_log);
    p.cf = NULL;
    parse_words(&p, &def, IN, words);
    is_c(p.err, "\"passphrase_file\" is for the configuration file",
         "no files without a configuration");
    ngx_destroy_pool(p.pool);

    close(fd);
    unlink(name);
}


/* one of an authority "ca.example", valid for a hundred years */

#define CERTIFICATE                                                           \
    "-----BEGIN CERTIFICATE-----\n"                                           \
    "MIIBgDCCASegAwIBAgIUGqUN2EG5/GBCM5JteD0MHKOC5WowCgYIKoZIzj0EAwIw\n"      \
    "FTETMBEGA1UEAwwKY2EuZXhhbXBsZTAgFw0yNjExMjEwMDQyMThaGA8yMTI2MTAy\n"      \
    "ODAwNDIxOFowFTETMBEGA1UEAwwKY2EuZXhhbXBsZTBZMBMGByqGSM49AgEGCCqG\n"      \
    "SM49AwEHA0IABM6FXvPeZOadAujyPn9Skp2Y7BsBLqfget2FV2XCcUjG5yGJsYIo\n"      \
    "hbFhDc3H702q91J7o+Y04i7y0NfCZPC+wKWjUzBRMB0GA1UdDgQWBBQ1UuvNIE3q\n"      \
    "5sOmfPdbpYJEcgROCjAfBgNVHSMEGDAWgBQ1UuvNIE3q5sOmfPdbpYJEcgROCjAP\n"      \
    "BgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIFh2iZ62KqW3apEOL0hN\n"      \
    "PU6KyIw4zSBGthDztEm3JY2RAiArdvjdI0gAUSHWZiYmF/jNY2F6pKPpU88fbMrb\n"      \
    "Iqwpjg==\n"                                                              \
    "-----END CERTIFICATE-----\n"


static void
test_certificates(void)
{
    int                    fd;
    char                   words[256], name[] = "/tmp/mc-unit-XXXXXX", *big;
    ssize_t                n;
    ngx_str_t              text;
    ngx_uint_t             i;
    ngx_mc_parse_t         p;
    ngx_mc_flow_def_t      flow, copy;
    ngx_mc_endpoint_def_t  def, *d;
    static struct {
        const char        *text;
        const char        *pem;
        const char        *err;
    } files[] = {
        { CERTIFICATE, CERTIFICATE, NULL },
        { "a comment\n" CERTIFICATE "-----BEGIN PRIVATE KEY-----\nAAAA\n"
          "-----END PRIVATE KEY-----\n" CERTIFICATE "another\n",
          CERTIFICATE CERTIFICATE, NULL },
        { "", NULL, "no certificate in the file of \"tls_ca\", it must be "
          "PEM" },
        { "secret\n", NULL, "no certificate in the file of \"tls_ca\", it "
          "must be PEM" },
        { "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
          NULL, "no certificate in the file of \"tls_ca\", it must be PEM" },
        { CERTIFICATE "-----BEGIN CERTIFICATE-----\nAAAA\n"
          "-----END CERTIFICATE-----\n", NULL,
          "a certificate in the file of \"tls_ca\" is malformed" },
        { "-----BEGIN CERTIFICATE-----\n", NULL,
          "a certificate in the file of \"tls_ca\" is malformed" },
        { NULL, NULL, "the file of \"tls_ca\" is larger than 64k: it has the "
          "certificates of one server's authorities, without \"tls_ca\" the "
          "system's are used" }
    };

    ngx_memzero(&p, sizeof(p));

    fd = mkstemp(name);
    sprintf(words, "rtmps://h/live/a tls_ca=%s", name);

    big = calloc(1, 65537);

    for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {

        n = ftruncate(fd, 0);
        n = files[i].text
            ? pwrite(fd, files[i].text, strlen(files[i].text), 0)
            : pwrite(fd, big, 65537, 0);
        ok(n >= 0, "a file is written");

        p.pool = ngx_create_pool(4096, &shim_log);
        p.cf = shim_conf(p.pool, "nginx.conf", 7);

        parse_words(&p, &def, OUT, words);

        if (files[i].err) {
            is_c(p.err, files[i].err, "certificates %d", (int) i);
            ngx_destroy_pool(p.pool);
            continue;
        }

        is_c(p.err, "", "certificates %d are right", (int) i);
        is(def.params.tls_ca, files[i].pem, "certificates %d", (int) i);

        /* a definition has them itself */

        init_flow(p.pool, &flow, "a", 1);
        add(&p, &flow, IN, NULL, "srt://:9000");
        add(&p, &flow, OUT, "x", words);

        p.cf = NULL;

        is_num(ngx_mc_def_write(&p, &flow), NGX_OK, "written");
        ok(memmem(flow.text.data, flow.text.len, "AAAA", 4) == NULL,
           "without a key");

        text = flow.text;
        is_num(ngx_mc_def_read(&p, &copy, &text), NGX_OK, "read %s", p.err);

        d = copy.outputs.elts;
        is(d->params.tls_ca, files[i].pem, "as it was");

        is_num(ngx_mc_def_write(&p, &copy), NGX_OK, "written again");
        ok(copy.text.len == flow.text.len
           && memcmp(copy.text.data, flow.text.data, flow.text.len) == 0,
           "as it was");

        ngx_destroy_pool(p.pool);
    }

    p.pool = ngx_create_pool(4096, &shim_log);
    p.cf = shim_conf(p.pool, "nginx.conf", 7);
    strcat(words, " tls_verify=off");

    n = ftruncate(fd, 0);
    n = pwrite(fd, CERTIFICATE, strlen(CERTIFICATE), 0);

    parse_words(&p, &def, OUT, words);
    is_c(p.err, "\"tls_ca\" is what certificates are verified with, "
         "\"tls_verify=off\" does not", "certificates for nothing");

    /* and the file of a key */

    sprintf(words, "rtmp://h/live key_file=%s", name);

    n = ftruncate(fd, 0);
    n = pwrite(fd, "abcd-efgh\r\nmore\n", 16, 0);

    parse_words(&p, &def, OUT, words);
    is_c(p.err, "", "a file of a key");
    is(def.stream, "abcd-efgh", "is the stream");
    is(def.app, "live", "in the application");

    n = pwrite(fd, "abcd efgh \n", 11, 0);

    parse_words(&p, &def, OUT, words);
    is_c(p.err, "\"key\" has a space, a control character or one beyond ASCII "
         "in it", "spaces");

    n = pwrite(fd, "\n", 1, 0);

    parse_words(&p, &def, OUT, words);
    is_c(p.err, "the first line of the file of \"key_file\" must be 1 to 255 "
         "characters long", "an empty key");

    ngx_destroy_pool(p.pool);

    free(big);
    close(fd);
    unlink(name);
}


static void
test_rtmp(void)
{
    char                    words[2048];
    ngx_uint_t              i, n;
    ngx_mc_parse_t          p;
    ngx_mc_flow_def_t       flow, copy;
    ngx_mc_endpoint_def_t   def, *d;

    static struct {
        const char         *words;
        const char         *app;
        const char         *stream;
        const char         *url;
        ngx_uint_t          port;
        ngx_uint_t          mode;
        ngx_uint_t          tls;
    } urls[] = {
        { "rtmp:///live/a key=s", "live", "a", "rtmp:///live",
          0, NGX_MC_MODE_LISTENER, 0 },
        { "rtmp://h/live/a", "live", "a", "rtmp://h/live",
          1935, NGX_MC_MODE_CALLER, 0 },
        { "rtmps://h/a/b/c?d=/e&f", "a/b", "c?d=/e&f", "rtmps://h/a/b",
          443, NGX_MC_MODE_CALLER, 1 },
        { "rtmp://h:1935/a/b?s/t key=s?u", "a/b?s/t", "s?u",
          "rtmp://h:1935/a/b", 1935, NGX_MC_MODE_CALLER, 0 },
        { "rtmps://[::1]/rtmp/?s key=s", "rtmp?s", "s",
          "rtmps://[::1]/rtmp", 443, NGX_MC_MODE_CALLER, 1 },
        { NULL, NULL, NULL, NULL, 0, 0, 0 }
    };

    ngx_memzero(&p, sizeof(p));

    for (i = 0; urls[i].words; i++) {

        p.pool = ngx_create_pool(4096, &shim_log);

        init_flow(p.pool, &flow, "a", 1);
        d = add(&p, &flow, IN, NULL, urls[i].words);

        for (n = 0; n < 2; n++) {
            is(d->app, urls[i].app, "application of %s", urls[i].words);
            is(d->stream, urls[i].stream, "stream");
            is(d->url, urls[i].url, "what is shown");
            is_num(d->port, urls[i].port, "port");
            is_num(d->mode, urls[i].mode, "mode");
            is_num(d->tls, urls[i].tls, "TLS");

            if (n == 0
                && (ngx_mc_def_write(&p, &flow) != NGX_OK
                    || ngx_mc_def_read(&p, &copy, &flow.text) != NGX_OK))
            {
                ok(0, "%s read: %s", urls[i].words, p.err);
                exit(1);
            }

            d = copy.sources.elts;
        }

        is_num(d->params.muxrate, 0, "a variable rate");
        is_num(d->params.maxrate, 0, "without a limit");
        is_num(d->params.tls_verify,
               urls[i].tls ? 1 : NGX_CONF_UNSET, "tls_verify");

        ngx_destroy_pool(p.pool);
    }

    /* lengths */

    p.pool = ngx_create_pool(4096, &shim_log);

    sprintf(words, "rtmp:///%0255d/%0255d", 0, 0);
    is_num(parse_words(&p, &def, IN, words), NGX_OK, "255 characters each");

    sprintf(words, "rtmp:///%0256d/%0255d", 0, 0);
    parse_words(&p, &def, IN, words);
    is_c(p.err, "application and name in an RTMP URL are at most 255 "
         "characters each", "one more");

    sprintf(words, "rtmp:///a/%0150d key=%0100d", 0, 0);
    is_num(parse_words(&p, &def, IN, words), NGX_OK, "name and key");

    sprintf(words, "rtmp:///a/%0150d key=%0101d", 0, 0);
    parse_words(&p, &def, IN, words);
    is_c(p.err, "name and \"key\" are too long together: NAME?key=KEY must be "
         "at most 255 characters, nginx-rtmp cuts what is longer",
         "one more");

    sprintf(words, "rtmp://h/a/%01021d", 0);
    is_num(parse_words(&p, &def, IN, words), NGX_OK, "a long path");

    sprintf(words, "rtmp://h/a/%01022d", 0);
    parse_words(&p, &def, IN, words);
    is_c(p.err, "path and query of the URL are longer than 1024 characters",
         "one more");

    ngx_destroy_pool(p.pool);
}


static void
test_pace(void)
{
    ngx_mc_parse_t     p;
    ngx_mc_flow_def_t  flow;

    ngx_memzero(&p, sizeof(p));
    p.pool = ngx_create_pool(4096, &shim_log);

    init_flow(p.pool, &flow, "a", 1);

    add(&p, &flow, IN, NULL, "rtmp:///live/a");
    add(&p, &flow, IN, NULL, "udp://:5000 backup");
    add(&p, &flow, OUT, "r", "rtp://h:5004");
    add(&p, &flow, OUT, "r", "rtp://h:5004 backup");
    add(&p, &flow, OUT, "u", "udp://h:5004");
    add(&p, &flow, OUT, "o", "udp://h:5004 pace=off");

    is_num(ngx_mc_def_write(&p, &flow), NGX_OK, "a flow from RTMP");

    is(flow.text,
       "flow a\nbatch 2\n"
       "source primary source listener rtmp:///live/a\n"
       "source backup source receive udp://:5000 timeout=2000\n"
       "output primary r send rtp://h:5004 pt=33 rtp=new pace=pcr\n"
       "output backup r send rtp://h:5004 pt=33 rtp=new pace=off\n"
       "output primary u send udp://h:5004 pace=pcr\n"
       "output primary o send udp://h:5004 pace=off\n", "its outputs");

    ngx_destroy_pool(p.pool);
}


/* what a change takes */

static void
test_changed(void)
{
    u_char                  names[256];
    ngx_uint_t              i, j, changed;
    ngx_mc_parse_t          p;
    ngx_mc_flow_def_t       flow, read[2];

    static struct {
        ngx_uint_t          direction;
        const char         *from;
        const char         *to;
        ngx_uint_t          changed;
        const char         *names;
    } changes[] = {
        { IN, "srt://:9000", "srt://:9001", NGX_MC_CHANGED_REOPEN, "URL" },
        { IN, "srt://:9000 passphrase=0123456789",
          "srt://:9000 passphrase=1123456789 latency=1s allow=::1",
          NGX_MC_CHANGED_LIVE|NGX_MC_CHANGED_KEY,
          "allow, latency, passphrase" },
        { IN, "rtmp:///live/a", "rtmp:///live/b", NGX_MC_CHANGED_REOPEN,
          "URL" },
        { IN, "rtmp:///live/a", "rtmp:///live2/a", NGX_MC_CHANGED_REOPEN,
          "URL" },
        { IN, "rtmp:///live/a", "rtmp://h/live/a", NGX_MC_CHANGED_REOPEN,
          "URL" },
        { IN, "rtmp://h/live/a?s3cret", "rtmp://h/live/a?s3cret2",
          NGX_MC_CHANGED_REOPEN, "URL" },
        { IN, "rtmp:///live/a", "rtmp:///live/a key=s3cret",
          NGX_MC_CHANGED_LIVE|NGX_MC_CHANGED_KEY, "key" },
        { IN, "rtmp:///live/a key=s3cret2 rekey=keep",
          "rtmp:///live/a key=s3cret rekey=disconnect",
          NGX_MC_CHANGED_LIVE|NGX_MC_CHANGED_KEY, "key, rekey" },
        { IN, "rtmp:///live/a", "rtmp:///live/a allow=::1 description=x "
          "max_bandwidth=5m", NGX_MC_CHANGED_LIVE,
          "description, allow, max_bandwidth" },
        { IN, "rtmp:///live/a", "rtmp:///live/a muxrate=5m",
          NGX_MC_CHANGED_REOPEN, "muxrate" },
        { OUT, "rtmp://h/live key=s3cret", "rtmp://h/live key=s3cret2",
          NGX_MC_CHANGED_REOPEN|NGX_MC_CHANGED_KEY, "key" },
        { OUT, "rtmp://h/live?s3cret key=s", "rtmp://h/live?s3cret2 key=s",
          NGX_MC_CHANGED_REOPEN, "URL" },
        { OUT, "rtmp://h/live/s", "rtmps://h/live/s", NGX_MC_CHANGED_REOPEN,
          "URL, tls_verify" },
        { OUT, "rtmp://h/live/s", "rtmp://h/live key=s",
          NGX_MC_CHANGED_REOPEN|NGX_MC_CHANGED_KEY, "key" },
        { OUT, "rtmp:///live/s", "rtmp:///live/s max_peers=5 min_peers=1 "
          "allow=::1 off", NGX_MC_CHANGED_LIVE,
          "off, allow, max_peers, min_peers" },
        { OUT, "rtmp:///live/s", "rtmp:///live/s program=1 video=256 "
          "audio=257", NGX_MC_CHANGED_REOPEN, "program, video, audio" },
        { OUT, "rtmp:///live/s audio=257", "rtmp:///live/s audio=eng",
          NGX_MC_CHANGED_REOPEN, "audio" },
        { 0, NULL, NULL, 0, NULL }
    };

    ngx_memzero(&p, sizeof(p));

    for (i = 0; changes[i].from; i++) {

        p.pool = ngx_create_pool(4096, &shim_log);

        for (j = 0; j < 2; j++) {
            init_flow(p.pool, &flow, "a", 1);

            if (changes[i].direction == OUT) {
                add(&p, &flow, IN, NULL, "srt://:9000");
            }

            add(&p, &flow, changes[i].direction,
                (changes[i].direction == OUT) ? "x" : NULL,
                j ? changes[i].to : changes[i].from);

            if (ngx_mc_def_write(&p, &flow) != NGX_OK
                || ngx_mc_def_read(&p, &read[j], &flow.text) != NGX_OK)
            {
                ok(0, "%s: %s", changes[i].to, p.err);
                exit(1);
            }
        }

        changed = ngx_mc_def_changed(&p,
                      (changes[i].direction == OUT) ? read[0].outputs.elts
                                                    : read[0].sources.elts,
                      (changes[i].direction == OUT) ? read[1].outputs.elts
                                                    : read[1].sources.elts,
                      names, sizeof(names));

        is_num(changed, changes[i].changed, "%s to %s", changes[i].from,
               changes[i].to);
        is_c(names, changes[i].names, "is about");

        ngx_destroy_pool(p.pool);
    }
}


/*
 * Flows: each line is "flow NAME", "in WORDS" or "out NAME WORDS"; lines are
 * numbered from 1, as in the messages that are expected.
 */

static struct {
    const char  *name;
    const char  *conf;
    const char  *logged;
    const char  *groups;               /* of the flows, in order */
} flows[] = {

    { "a plain flow",
      "flow a\nin srt://:9000\nout x srt://h:9000\n",
      "", "a" },

    { "flows of one name",
      "flow a\nin srt://:9000\nout x srt://h:1\n"
      "flow b\nin srt://:9001\nout x srt://h:1\n"
      "flow a\nin srt://:9002\nout x srt://h:1\n",
      "[emerg] duplicate flow \"a\", the name is taken in nginx.conf:1 in "
      "nginx.conf:7\n", "a b a" },

    { "no source",
      "flow a\nout x srt://h:1\n",
      "[emerg] flow \"a\" has no source, add \"mc_source\" in "
      "nginx.conf:1\n", "a" },

    { "only a backup source",
      "flow a\nin srt://:9000 backup\nout x srt://h:1\n",
      "[emerg] flow \"a\" has no primary source, remove \"backup\" or add "
      "another \"mc_source\" in nginx.conf:2\n", "a" },

    { "two primary sources",
      "flow a\nin srt://:9000\nin srt://:9001\nout x srt://h:1\n",
      "[emerg] flow \"a\" has a primary source in nginx.conf:2 already; a "
      "second source is marked \"backup\" in nginx.conf:3\n", "a" },

    { "two backup sources",
      "flow a\nin srt://:9000\nin srt://:9001 backup\n"
      "in srt://:9002 backup\nout x srt://h:1\n",
      "[emerg] flow \"a\" has a backup source in nginx.conf:3 already in "
      "nginx.conf:4\n", "a" },

    { "listening RTMP",
      "flow a\nin rtmp:///live/a\nin rtmp:///live/b backup\n"
      "out x rtmp:///live/c\nout y rtmp:///live2/a allow=10.0.0.0/8\n"
      "out z rtmp://h/live/a\nout z rtmps://h/live/a backup\n"
      "flow b\nin rtmp:///live2/b\nout x rtp://h:5004\n",
      "[warn] anyone may receive from output \"x\" of flow \"a\", it has no "
      "\"allow\" in nginx.conf:4\n", "a b" },

    { "one RTMP stream twice",
      "flow a\nin rtmp:///live/a\nin rtmp:///live/a backup\n"
      "out x rtmp:///live/b allow=::1\nout x rtmp:///live/a allow=::1 backup\n"
      "flow b\nin rtmp:///live/b\nout x rtmp:///live2/b allow=::1\n"
      "flow c\nin rtmp:///live/c\nout x rtmp:///live2/b allow=::1 off\n",
      "[emerg] the RTMP stream of the backup source of flow \"a\", in "
      "application \"live\", is taken by the primary source of flow \"a\" in "
      "nginx.conf:2; use another name in nginx.conf:3\n"
      "[emerg] the RTMP stream of the backup destination of output \"x\" of "
      "flow \"a\", in application \"live\", is taken by the primary source of "
      "flow \"a\" in nginx.conf:2; use another name in nginx.conf:5\n"
      "[emerg] the RTMP stream of the primary source of flow \"b\", in "
      "application \"live\", is taken by the output \"x\" of flow \"a\" in "
      "nginx.conf:4; use another name in nginx.conf:7\n"
      "[emerg] the RTMP stream of the output \"x\" of flow \"c\", in "
      "application \"live2\", is taken by the output \"x\" of flow \"b\" in "
      "nginx.conf:8; use another name in nginx.conf:11\n",
      "a b c" },

    { "RTMP and its backup of another protocol",
      "flow a\nin rtmp:///live/a\nin srt://:9000 backup\n"
      "out x rtmp://h/live/a\nout x srt://h:9000 backup\n"
      "out y rtp://h:5004 rtp=keep\n",
      "[emerg] \"rtp=keep\" of output \"y\" of flow \"a\" has nothing to keep, "
      "as the source is \"rtmp://\"; use \"rtp=new\" in nginx.conf:6\n"
      "[emerg] the backup destination of output \"x\" of flow \"a\" must be "
      "\"rtmp://\" like the primary one in nginx.conf:4 in nginx.conf:5\n",
      "a" },

    { "no outputs",
      "flow a\nin srt://:9000\n",
      "[warn] flow \"a\" has no output, it stays idle in nginx.conf:1\n",
      "a" },

    { "an open listening output",
      "flow a\nin srt://:9000\nout x srt://:9100\n"
      "out y srt://:9101 allow=all\nout z srt://:9102 allow=10.0.0.0/8\n"
      "out q srt://:9103 passphrase=0123456789\n",
      "[warn] anyone may receive from output \"x\" of flow \"a\", it has "
      "neither \"allow\" nor \"passphrase\" in nginx.conf:3\n"
      "[warn] anyone may receive from output \"y\" of flow \"a\", it has "
      "neither \"allow\" nor \"passphrase\" in nginx.conf:4\n", "a" },

    { "two outputs of one name",
      "flow a\nin srt://:9000\nout x srt://h:1\nout y srt://h:1\n"
      "out x srt://h:2\n",
      "[emerg] output \"x\" of flow \"a\" has a primary destination in "
      "nginx.conf:3 already; another output needs another name in "
      "nginx.conf:5\n", "a" },

    { "two backup destinations",
      "flow a\nin srt://:9000\nin srt://h:1 backup\nout x srt://h:1\n"
      "out x srt://h:2 backup\nout x srt://h:3 backup\n",
      "[emerg] output \"x\" of flow \"a\" has a backup destination in "
      "nginx.conf:5 already in nginx.conf:6\n", "a" },

    { "no primary destination, no backup source",
      "flow a\nin srt://:9000\nout x srt://h:2 backup\n",
      "[emerg] the backup destination of output \"x\" has no source: flow "
      "\"a\" needs an \"mc_source\" with \"backup\" in nginx.conf:3\n"
      "[emerg] output \"x\" of flow \"a\" has no primary destination, add one "
      "without \"backup\" in nginx.conf:3\n", "a" },

    { "destinations of two protocols",
      "flow a\nin srt://:9000\nin srt://:9001 backup\n"
      "out x rtp://h:2 backup\nout x srt://h:1\n",
      "[emerg] the backup destination of output \"x\" of flow \"a\" must be "
      "\"srt://\" like the primary one in nginx.conf:5 in nginx.conf:4\n",
      "a" },

    { "rtp=keep without RTP",
      "flow a\nin srt://:9000\nout x rtp://h:1 rtp=keep\n"
      "flow b\nin rtp://:9000 allow=all\nout x rtp://h:1 rtp=keep\n",
      "[emerg] \"rtp=keep\" of output \"x\" of flow \"a\" has nothing to "
      "keep, as the source is \"srt://\"; use \"rtp=new\" in nginx.conf:3\n"
      "[emerg] UDP port 9000 of the primary source of flow \"b\" is taken by "
      "the primary source of flow \"a\" in nginx.conf:2; use another port in "
      "nginx.conf:5\n", "a b" },

    /* ports */

    { "listeners with streamids share a port",
      "flow c\nin srt://:9000 streamid=c\nout x srt://h:1\n"
      "flow a\nin srt://:9000 streamid=#!::r=a\n"
      "out x srt://:9000 streamid=a passphrase=0123456789\n"
      "flow b\nin srt://:9001\nout x srt://h:1\n",
      "", "a a b" },

    { "groups are transitive",
      "flow d\nin srt://:9000 streamid=d\n"
      "out x srt://:9001 streamid=d allow=::1\n"
      "flow c\nin srt://:9001 streamid=c\n"
      "out x srt://h:1 port=9002\n"
      "flow b\nin srt://h:1 port=9002\nout x rtp://h:1\n"
      "flow a\nin srt://[::]:9000 streamid=a\nout x rtp://h:1\n",
      "", "b b b a" },

    { "two listeners without streamids",
      "flow a\nin srt://:9000\nout x srt://h:1\n"
      "flow b\nin srt://:9000\nout x srt://h:1\n",
      "[emerg] UDP port 9000 of the primary source of flow \"b\" is taken by "
      "the primary source of flow \"a\" in nginx.conf:2; to share it, give "
      "each a \"streamid\" of its own in nginx.conf:5\n", "a a" },

    { "one without a streamid",
      "flow a\nin srt://:9000\nout x srt://h:1\n"
      "flow b\nin srt://:9000 streamid=b\nout x srt://h:1\n"
      "flow c\nin srt://:9000 streamid=c\nout x srt://h:1\n",
      "[emerg] UDP port 9000 of the primary source of flow \"a\" is taken by "
      "the primary source of flow \"b\" in nginx.conf:5; to share it, give "
      "each a \"streamid\" of its own in nginx.conf:2\n", "a a a" },

    { "two equal streamids",
      "flow a\nin srt://:9000 streamid=x\nout x srt://h:1\n"
      "flow b\nin srt://:9000 streamid=#!::m=publish,r=x\nout x srt://h:1\n",
      "[emerg] UDP port 9000 of the primary source of flow \"b\" is taken by "
      "the primary source of flow \"a\" in nginx.conf:2; each needs a "
      "\"streamid\" of its own, these are the same in nginx.conf:5\n",
      "a a" },

    { "a listener of any and of one address",
      "flow a\nin srt://127.0.0.1:9000 mode=listener streamid=a\n"
      "out x srt://h:1\n"
      "flow b\nin srt://:9000 streamid=b\nout x srt://h:1\n"
      "flow c\nin srt://127.0.0.2:9001 mode=listener\nout x srt://h:1\n"
      "flow d\nin srt://127.0.0.1:9001 mode=listener\nout x srt://h:1\n",
      "[emerg] UDP port 9000 of the primary source of flow \"b\" is taken by "
      "the primary source of flow \"a\" in nginx.conf:2; \"any address\" and "
      "one address exclude each other in nginx.conf:5\n", "a b c d" },

    { "IPv4 and IPv6 are two ports",
      "flow a\nin srt://:9000\nout x srt://h:1\n"
      "flow b\nin srt://[::]:9000\nout x srt://h:1\n",
      "", "a b" },

    { "options of a port",
      "flow a\nin srt://:9000 streamid=a mss=1400 latency=1s\n"
      "out x srt://h:1\n"
      "flow b\nin srt://:9000 streamid=b mss=1400 iptos=8\n"
      "out x srt://h:1\n"
      "flow c\nin srt://:9000 streamid=c\nout x srt://h:1\n",
      "[emerg] \"iptos\" is a matter of the whole port 9000: it must be as in "
      "the primary source of flow \"a\" in nginx.conf:2 in nginx.conf:5\n"
      "[emerg] \"mss\" is a matter of the whole port 9000: it must be as in "
      "the primary source of flow \"a\" in nginx.conf:2 in nginx.conf:8\n",
      "a a a" },

    { "options of a port that are no numbers",
      "flow a\nin srt://:9000 streamid=a packetfilter=fec,cols:10 "
      "enforcedencryption=no\nout x srt://h:1\n"
      "flow b\nin srt://:9000 streamid=b packetfilter=fec,cols:11\n"
      "out x srt://h:1\n",
      "[emerg] \"packetfilter\" is a matter of the whole port 9000: it must "
      "be as in the primary source of flow \"a\" in nginx.conf:2 in "
      "nginx.conf:5\n"
      "[emerg] \"enforcedencryption\" is a matter of the whole port 9000: it "
      "must be as in the primary source of flow \"a\" in nginx.conf:2 in "
      "nginx.conf:5\n", "a a" },

    { "the order of names does not matter",
      "flow b\nin srt://:9000\nout x srt://h:1\n"
      "flow a\nin srt://:9000\nout x srt://h:1\n",
      "[emerg] UDP port 9000 of the primary source of flow \"a\" is taken by "
      "the primary source of flow \"b\" in nginx.conf:2; to share it, give "
      "each a \"streamid\" of its own in nginx.conf:5\n", "a a" },

    { "callers share a port",
      "flow a\nin srt://:9000\nout x srt://h:1 port=7000\n"
      "out y srt://h:2 port=7000 iptos=9\n"
      "out z srt://h:2 port=7000 adapter=127.0.0.1\n"
      "out q srt://[::1]:2 port=7000\n",
      "[emerg] \"iptos\" is a matter of the whole port 7000: it must be as in "
      "the output \"x\" of flow \"a\" in nginx.conf:3 in nginx.conf:4\n"
      "[emerg] UDP port 7000 of the output \"z\" of flow \"a\" is taken by "
      "the output \"x\" of flow \"a\" in nginx.conf:3; callers of one port "
      "need the same \"adapter\" in nginx.conf:5\n", "a" },

    { "a caller and a listener",
      "flow a\nin srt://:9000\nout x srt://h:1 port=9000\n",
      "[emerg] UDP port 9000 of the output \"x\" of flow \"a\" is taken by "
      "the primary source of flow \"a\" in nginx.conf:2; use another port in "
      "nginx.conf:3\n", "a" },

    { "a rendezvous stands alone",
      "flow a\nin srt://h:9000 mode=rendezvous\n"
      "out x srt://g:9000 mode=rendezvous\n"
      "out y srt://g:9000 mode=rendezvous port=9001\n"
      "out z srt://g:1 port=9001 adapter=127.0.0.1\n",
      "[emerg] UDP port 9000 of the output \"x\" of flow \"a\" is taken by "
      "the primary source of flow \"a\" in nginx.conf:2; use another port in "
      "nginx.conf:3\n"
      "[emerg] UDP port 9001 of the output \"z\" of flow \"a\" is taken by "
      "the output \"y\" of flow \"a\" in nginx.conf:4; use another port in "
      "nginx.conf:5\n", "a" },

    { "unicast sources",
      "flow a\nin rtp://:5004\nin udp://127.0.0.1:5004 backup\n"
      "out x srt://h:1\n"
      "flow b\nin rtp://127.0.0.1:5006\nin udp://127.0.0.2:5006 backup\n"
      "out x srt://h:1\n"
      "flow c\nin rtp://127.0.0.1:5006\nout x srt://h:1\n",
      "[emerg] UDP port 5004 of the backup source of flow \"a\" is taken by "
      "the primary source of flow \"a\" in nginx.conf:2; \"any address\" and "
      "one address exclude each other in nginx.conf:3\n"
      "[emerg] UDP port 5006 of the primary source of flow \"c\" is taken by "
      "the primary source of flow \"b\" in nginx.conf:6; use another port in "
      "nginx.conf:10\n", "a b c" },

    { "multicast sources",
      "flow a\nin rtp://239.1.1.1:5004\nin udp://239.1.1.2:5004 backup\n"
      "out x srt://h:1\n"
      "flow b\nin rtp://239.1.1.1:5004 source=10.0.0.1\n"
      "in rtp://239.1.1.1:5004 source=10.0.0.2 backup\nout x srt://h:1\n"
      "flow c\nin rtp://239.1.1.1:5004 interface=eth0\n"
      "in rtp://239.1.1.1:5004 interface=eth0 backup\nout x srt://h:1\n"
      "flow d\nin rtp://127.0.0.1:5004\nout x srt://h:1\n",
      "[emerg] UDP port 5004 of the backup source of flow \"c\" is taken by "
      "the primary source of flow \"c\" in nginx.conf:10; a backup needs "
      "another group, port, \"source\" or \"interface\" in nginx.conf:11\n",
      "a b c d" },

    { "multicast and any address",
      "flow a\nin rtp://239.1.1.1:5004\nin udp://:5004 backup\n"
      "out x srt://h:1\n",
      "[emerg] UDP port 5004 of the backup source of flow \"a\" is taken by "
      "the primary source of flow \"a\" in nginx.conf:2; use another port in "
      "nginx.conf:3\n", "a" },

    { NULL, NULL, NULL, NULL }
};


static int
cmp_flows(const void *one, const void *two)
{
    ngx_mc_flow_def_t  *a, *b;

    a = *(ngx_mc_flow_def_t **) one;
    b = *(ngx_mc_flow_def_t **) two;

    return (int) ngx_memn2cmp(a->name.data, b->name.data, a->name.len,
                              b->name.len);
}


static void
run_flows(const char *name, const char *conf, const char *logged,
    const char *groups)
{
    char                   *copy, *line, *next, *words, *rc, buf[1024];
    ngx_uint_t              i, n;
    ngx_conf_t             *cf;
    ngx_array_t             array, sorted;
    ngx_mc_parse_t          p;
    ngx_mc_flow_def_t      *flow, **f;
    ngx_mc_endpoint_def_t  *def;

    ngx_memzero(&p, sizeof(p));
    p.pool = ngx_create_pool(4096, &shim_log);

    cf = shim_conf(p.pool, "wrong.conf", 99);

    (void) ngx_array_init(&array, p.pool, 4, sizeof(ngx_mc_flow_def_t *));

    copy = ngx_pnalloc(p.pool, strlen(conf) + 1);
    strcpy(copy, conf);

    flow = NULL;

    for (line = copy, n = 1; *line; line = next, n++) {

        next = strchr(line, '\n');
        *next++ = '\0';

        if (strncmp(line, "flow ", 5) == 0) {
            f = ngx_array_push(&array);
            *f = ngx_palloc(p.pool, sizeof(ngx_mc_flow_def_t));
            flow = *f;
            init_flow(p.pool, flow, line + 5, n);
            continue;
        }

        if (strncmp(line, "in ", 3) == 0) {
            def = add(&p, flow, IN, NULL, line + 3);

        } else {
            words = strchr(line + 4, ' ');
            *words++ = '\0';
            def = add(&p, flow, OUT, line + 4, words);
        }

        def->line = n;
    }

    /* the place of a mistake does not depend on the order of the array */

    sorted = array;
    sorted.elts = ngx_palloc(p.pool, array.nelts * sizeof(flow));
    memcpy(sorted.elts, array.elts, array.nelts * sizeof(flow));
    qsort(sorted.elts, sorted.nelts, sizeof(flow), cmp_flows);

    shim_log_reset();

    rc = ngx_mc_def_check_flows(cf, &sorted);

    is_c(shim_logged, logged, "%s", name);

    ok((rc == NGX_CONF_OK) == (strstr(logged, "[emerg]") == NULL),
       "%s: the result", name);

    if (groups == NULL) {
        ngx_destroy_pool(p.pool);
        return;
    }

    buf[0] = '\0';
    f = array.elts;

    for (i = 0; i < array.nelts; i++) {
        sprintf(buf + strlen(buf), "%s%.*s", i ? " " : "",
                (int) f[i]->group.len, f[i]->group.data);
    }

    is_c(buf, groups, "%s: groups", name);

    ngx_destroy_pool(p.pool);
}


static void
test_flows(void)
{
    ngx_uint_t  i;

    for (i = 0; flows[i].name; i++) {
        run_flows(flows[i].name, flows[i].conf, flows[i].logged,
                  flows[i].groups);
    }
}


static void
test_privileged(void)
{
    FILE                            *f;
    int                              start;
    char                             message[512];
    struct __user_cap_data_struct    data[2];
    struct __user_cap_header_struct  header;
    static const char                conf[] =
        "flow a\nin srt://:443\nout x srt://h:443\nout y srt://h:1 port=80\n"
        "out z srt://:1024 allow=::1\n";

    start = 1024;

    f = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "r");
    if (f) {
        if (fscanf(f, "%d", &start) != 1) {
            start = 1024;
        }

        fclose(f);
    }

    message[0] = '\0';

    if (start > 80) {
        sprintf(message, "[emerg] workers run without the right to bind UDP "
                "port 80, use a port from %d up, or lower the sysctl "
                "net.ipv4.ip_unprivileged_port_start in nginx.conf:4\n",
                start);
    }

    if (start > 443) {
        sprintf(message + strlen(message), "[emerg] workers run without the "
                "right to bind UDP port 443, use a port from %d up, or lower "
                "the sysctl net.ipv4.ip_unprivileged_port_start in "
                "nginx.conf:2\n", start);
    }

    shim_core_conf.master = NGX_CONF_UNSET;
    shim_core_conf.user = (ngx_uid_t) NGX_CONF_UNSET_UINT;
    test_uid = 0;
    run_flows("ports of the default user", conf, message, NULL);

    shim_core_conf.user = 33;
    run_flows("ports of a user", conf, message, NULL);

    shim_core_conf.user = 0;
    run_flows("ports of root", conf, "", NULL);

    shim_core_conf.user = 33;
    shim_core_conf.master = 0;
    run_flows("ports without a master", conf, "", NULL);

    /* an ordinary user, without the capability */

    ngx_memzero(&header, sizeof(header));
    ngx_memzero(data, sizeof(data));
    header.version = _LINUX_CAPABILITY_VERSION_3;

    if (syscall(SYS_capget, &header, data) == 0) {
        data[0].effective &= ~(1u << CAP_NET_BIND_SERVICE);
        ok(syscall(SYS_capset, &header, data) == 0, "a capability dropped");
    }

    test_uid = 1000;
    run_flows("ports of an ordinary user", conf, message, NULL);
}


static void
test_no_memory(void)
{
    unsigned                n, failed;
    ngx_str_t               text;
    ngx_array_t             array;
    ngx_mc_parse_t          p;
    ngx_mc_flow_def_t       flow, copy, *f;
    ngx_mc_endpoint_def_t  *def;

    /* every allocation fails once: an error each time, and nothing worse */

    failed = 0;

    for (n = 1; n < 200; n++) {

        ngx_memzero(&p, sizeof(p));
        p.pool = ngx_create_pool(4096, &shim_log);
        p.cf = shim_conf(p.pool, "nginx.conf", 1);

        init_flow(p.pool, &flow, "a", 1);
        def = ngx_array_push(&flow.sources);

        f = &flow;
        (void) ngx_array_init(&array, p.pool, 1, sizeof(f));
        *(ngx_mc_flow_def_t **) ngx_array_push(&array) = f;

        /* the copy of the words comes first and cannot fail */
        shim_fail_alloc(n + 1);

        if (parse_words(&p, def, IN, "srt://[::1]:9000?mode=listener&streamid="
                        "%41%42&allow=1.2.3.4,1.2.3.5,1.2.3.6,1.2.3.7,1.2.3.8")
            != NGX_OK
            || ngx_mc_def_check_flows(p.cf, &array) != NGX_CONF_OK
            || ngx_mc_def_write(&p, &flow) != NGX_OK
            || (text = flow.text, ngx_mc_def_read(&p, &copy, &text)) != NGX_OK)
        {
            failed++;
        }

        shim_fail_alloc(0);
        init_flow(p.pool, &flow, "a", 1);
        def = ngx_array_push(&flow.sources);
        shim_fail_alloc(n + 1);

        if (parse_words(&p, def, IN, "rtmps://h/live/?a key=b description=c")
            != NGX_OK
            || ngx_mc_def_check_flows(p.cf, &array) != NGX_CONF_OK
            || ngx_mc_def_write(&p, &flow) != NGX_OK
            || (text = flow.text, ngx_mc_def_read(&p, &copy, &text)) != NGX_OK)
        {
            failed++;
        }

        shim_fail_alloc(0);
        ngx_destroy_pool(p.pool);
    }

    ok(failed > 10, "%u allocations failed", failed);
}


int
main(void)
{
    test_values();
    test_mistakes();
    test_warnings();
    test_secret_files();
    test_certificates();
    test_rtmp();
    test_pace();
    test_changed();
    test_lines();
    test_flow_text();
    test_bad_text();
    test_flows();
    test_no_memory();
    test_privileged();

    return shim_done();
}
