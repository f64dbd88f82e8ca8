/* sources: codec/ngx_mc_aac.c codec/ngx_mc_bits.c codec/ngx_mc_codec.c codec/ngx_mc_h264.c codec/ngx_mc_hevc.c codec/ngx_mc_mpa.c codec/ngx_mc_nal.c codec/ngx_mc_video.c codec/ngx_mc_video_config.c */

/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_codec.h>
#include <ngx_mc_bits.h>

#include "shim.h"


/* bytes on the heap, as many as there are, so that ASan sees what is read
   beyond */

typedef struct {
    u_char  *data;
    size_t   len;
} bytes_t;


/* made with libx264 and libx265; what is expected is what ffprobe shows */

typedef struct {
    const char  *name;
    ngx_uint_t   codec;
    const char  *vps;
    const char  *sps;
    const char  *pps;
    unsigned     profile, level, width, height, num, den, interlaced;
    const char  *end;        /* of avcC, behind the PPS */
} video_t;


static video_t  videos[] = {

    { "H.264 Constrained Baseline 360p25", NGX_MC_CODEC_H264, NULL,
      "6742c01eda0280bfe5c044000003000400000300c83c58ba80", "68ce0fc8",
      66, 30, 640, 360, 25, 1, 0, "" },

    { "H.264 Constrained Baseline 240p30", NGX_MC_CODEC_H264, NULL,
      "6742c00dd90141fb0110000003001000000303c0f142a480", "68cb83cb20",
      66, 13, 320, 240, 30, 1, 0, "" },

    { "H.264 High 1080i25, cropped", NGX_MC_CODEC_H264, NULL,
      "67640028acec078044fde022000003000200000300643e2c5a70", "68faa3cb22c0",
      100, 40, 1920, 1080, 25, 1, 1, "fdf8f800" },

    { "H.264 High 1080p29.97, cropped", NGX_MC_CODEC_H264, NULL,
      "67640028acd940780227e5c04400000fa40003a9803c60c658", "68eae3cb22c0",
      100, 40, 1920, 1080, 30000, 1001, 0, "fdf8f800" },

    { "H.264 High 4:2:2 10 bit 720p50", NGX_MC_CODEC_H264, NULL,
      "677a0020b6cb402802dd80880000030008000003032078c195", "68ce0fc8",
      122, 32, 1280, 720, 50, 1, 0, "fefafa00" },

    { "H.264 High 4:4:4, odd size, 23.976", NGX_MC_CODEC_H264, NULL,
      "67f4000d91968150878f8fc04400000fa40002ee003c50aa80", "68ce0f1920",
      244, 13, 322, 242, 24000, 1001, 0, "fff8f800" },

    { "H.264 High, quantizer matrices", NGX_MC_CODEC_H264, NULL,
      "6764001eacb405017fcb80880000030008000003019078b175", "68ce0fc40c",
      100, 30, 640, 360, 25, 1, 0, "fdf8f800" },

    { "H.264, all of VUI, cropped on each side", NGX_MC_CODEC_H264, NULL,
      "6742c01eda0280bf4c85ffc0fa00f9f94244026dc00000fa4000753003c58ba8",
      "68ce0fc8", 66, 30, 634, 354, 60000, 1001, 0, "" },

    { "H.264 Main, MBAFF, HRD", NGX_MC_CODEC_H264, NULL,
      "674d401ff40503db011000000300100000064626000f424001e84a4d280f8b1750",
      "68de0fc8", 77, 31, 640, 480, 50, 1, 1, "" },

    { "H.264 High, monochrome", NGX_MC_CODEC_H264, NULL,
      "6764000bf2d02833f1b80b64000003000400000300603c50aa80", "68ce0fc8",
      100, 11, 320, 180, 12, 1, 0, "fcf8f800" },

    { "HEVC, all of VUI, cropped on each side", NGX_MC_CODEC_HEVC,
      "40010c01ffff02200000030090000003000003005d95940c00000fa40003a98140",
      "42010102200000030090000003000003005da00280802d1a642b6595952930bffc0f"
      "a00f9d2848804db0800001f480007530304e4b370007a12000f42440",
      "4401c073c189",
      2, 93, 1274, 706, 60000, 1001, 0, NULL },

    { "HEVC Main 1080p25, cropped", NGX_MC_CODEC_HEVC,
      "40010c01ffff016000000300900000030000030078959409",
      "420101016000000300900000030000030078a003c0801107cb965654a4c2f0168080"
      "000003008000000c84", "4401c073c189",
      1, 120, 1920, 1080, 25, 1, 0, NULL },

    { "HEVC Main 10 720p29.97, HRD", NGX_MC_CODEC_HEVC,
      "40010c01ffff02200000030090000003000003005d959409",
      "42010102200000030090000003000003005da00280802d136595952930bc05a02000"
      "007d20000ea60c1392cdc001e848003d0910", "4401c073c189",
      2, 93, 1280, 720, 30000, 1001, 0, NULL },

    { "HEVC 4:2:2 10 bit, odd size, scaling lists", NGX_MC_CODEC_HEVC,
      "40010c01ffff0408000003009d0800000300005a959409",
      "4201010408000003009d0800000300005ab005220171cd3b65959529385e02d01000"
      "00030010000003032080", "4401c073c189",
      4, 90, 646, 362, 50, 1, 0, NULL },

    { "HEVC fields 576i25", NGX_MC_CODEC_HEVC,
      "40010c01ffff01600000030040000003000003005d959409",
      "42010101600000030040000003000003005da005a200905965654a4c2f0168680000"
      "030008000003019040", "4401c073c189",
      1, 93, 720, 576, 25, 1, 1, NULL },

    { "HEVC temporal layers 360p25", NGX_MC_CODEC_HEVC,
      "40010c01ffff01600000030090000003000003003f959409",
      "42010101600000030090000003000003003fa005020171f2e595952930bc05a02000"
      "00030020000003" "0321", "4401c073c189",
      1, 63, 640, 360, 25, 1, 0, NULL },

    { NULL, 0, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, NULL }
};


static bytes_t
hex(const char *s)
{
    size_t    i;
    bytes_t   b;
    unsigned  n;

    b.len = strlen(s) / 2;
    b.data = malloc(b.len ? b.len : 1);

    for (i = 0; i < b.len; i++) {
        sscanf(s + 2 * i, "%2x", &n);
        b.data[i] = n;
    }

    return b;
}


static const char *
text(u_char *p, size_t len)
{
    size_t       i;
    static char  buf[4096];

    buf[0] = '\0';

    for (i = 0; i < len; i++) {
        sprintf(buf + 2 * i, "%02x", p[i]);
    }

    return buf;
}


static ngx_int_t
sps(ngx_uint_t codec, u_char *p, size_t len, ngx_mc_track_info_t *info)
{
    return (codec == NGX_MC_CODEC_H264) ? ngx_mc_h264_sps(p, len, info)
                                        : ngx_mc_hevc_sps(p, len, info);
}


static void
test_names(void)
{
    ngx_uint_t  i, bad;

    bad = 0;

    for (i = 0; i < NGX_MC_CODEC_N; i++) {
        bad += ngx_strlen(ngx_mc_codec_names[i].data)
               != ngx_mc_codec_names[i].len || ngx_mc_codec_names[i].len == 0;
    }

    is_num(bad, 0, "names");
    is(ngx_mc_codec_names[NGX_MC_CODEC_H264], "h264", "first name");
    is(ngx_mc_codec_names[NGX_MC_CODEC_KLV], "klv", "last name");
}


static void
test_bits(void)
{
    bytes_t        b;
    ngx_mc_bits_t  bits;

    b = hex("a6429820");                /* 1 010 011 00100 00101 ... */
    ngx_mc_bits_init(&bits, b.data, b.len, 0);

    is_num(ngx_mc_bits_ue(&bits, 9), 0, "ue 0");
    is_num(ngx_mc_bits_ue(&bits, 9), 1, "ue 1");
    is_num(ngx_mc_bits_ue(&bits, 9), 2, "ue 2");
    is_num(ngx_mc_bits_ue(&bits, 9), 3, "ue 3");
    is_num(ngx_mc_bits_ue(&bits, 9), 4, "ue 4");
    ok(!bits.error, "no error");
    free(b.data);

    b = hex("00000001fffffffe");        /* 31 zeros, 32 bits of 1 */
    ngx_mc_bits_init(&bits, b.data, b.len, 0);
    is_num(ngx_mc_bits_ue(&bits, NGX_MC_BITS_UE_MAX), 0xfffffffe,
           "largest ue");
    ok(!bits.error, "fits");
    ngx_mc_bits_init(&bits, b.data, b.len, 0);
    is_num(ngx_mc_bits_ue(&bits, 5), 0, "ue over its maximum");
    ok(bits.error, "is an error");
    free(b.data);

    b = hex("0000000080000000");
    ngx_mc_bits_init(&bits, b.data, b.len, 0);
    is_num(ngx_mc_bits_ue(&bits, NGX_MC_BITS_UE_MAX), 0, "ue over 32 bits");
    ok(bits.error, "is an error");
    free(b.data);

    b = hex("4c8a");                    /* 010 011 00100 01010 */
    ngx_mc_bits_init(&bits, b.data, b.len, 0);
    is_num(ngx_mc_bits_se(&bits), 1, "se 1");
    is_num(ngx_mc_bits_se(&bits), -1, "se -1");
    is_num(ngx_mc_bits_se(&bits), 2, "se 2");
    free(b.data);

    b = hex("000003000003");
    ngx_mc_bits_init(&bits, b.data, b.len, 1);
    is_num(ngx_mc_bits(&bits, 32), 0, "emulation prevention taken out");
    ok(!bits.error, "four bytes are left");
    is_num(ngx_mc_bits(&bits, 1), 0, "nothing behind the last 03");
    ok(bits.error, "is an error");
    free(b.data);
}


static void
test_sps(void)
{
    size_t                n;
    u_char               *p;
    bytes_t               b;
    video_t              *v;
    ngx_uint_t            changed;
    ngx_mc_track_info_t   info, before;

    for (v = videos; v->name; v++) {
        b = hex(v->sps);

        memset(&info, 0xa5, sizeof(info));
        is_num(sps(v->codec, b.data, b.len, &info), NGX_OK, "%s", v->name);

        is_num(info.type, NGX_MC_TRACK_VIDEO, "%s: type", v->name);
        is_num(info.codec, v->codec, "%s: codec", v->name);
        is_num(info.profile, v->profile, "%s: profile", v->name);
        is_num(info.level, v->level, "%s: level", v->name);
        is_num(info.width, v->width, "%s: width", v->name);
        is_num(info.height, v->height, "%s: height", v->name);
        is_num(info.frame_num, v->num, "%s: frame rate", v->name);
        is_num(info.frame_den, v->den, "%s: denominator", v->name);
        is_num(info.interlaced, v->interlaced, "%s: interlaced", v->name);
        is_num(info.bitrate, 0xa5a5a5a5, "%s: the rest is left", v->name);

        /* cut anywhere: an error, and nothing set, or no frame rate */

        changed = 0;

        for (n = 0; n < b.len - 1; n++) {
            p = malloc(n ? n : 1);
            memcpy(p, b.data, n);

            memset(&info, 0xa5, sizeof(info));
            before = info;

            if (sps(v->codec, p, n, &info) != NGX_OK) {
                changed += memcmp(&info, &before, sizeof(info)) != 0;

            } else if (info.width != v->width || info.height != v->height
                       || (info.frame_num && info.frame_num != v->num))
            {
                changed++;
            }

            free(p);
        }

        is_num(changed, 0, "%s: cut short", v->name);

        b.data[0] ^= 2;
        ok(sps(v->codec, b.data, b.len, &info) == NGX_ERROR,
           "%s: another type of NAL unit", v->name);

        free(b.data);
    }

    /* 1024 macroblocks wide is the most */

    b = hex("6742c01e" "f800200401480f");
    ok(ngx_mc_h264_sps(b.data, b.len, &info) == NGX_ERROR, "too wide");
    free(b.data);
}


static u_char   made[4096];
static size_t   made_bits;


static void
put(unsigned value, unsigned n)
{
    while (n--) {
        made[made_bits / 8] |= ((value >> n) & 1) << (7 - made_bits % 8);
        made_bits++;
    }
}


static void
put_ue(unsigned value)
{
    unsigned  n;

    for (n = 0; (value + 1) >> (n + 1); n++) { /* void */ }

    put(0, n);
    put(value + 1, n + 1);
}


/* what no encoder at hand makes: sub-layers with profiles and levels of their
   own, PCM, reference picture sets that are predicted, long-term pictures */

static void
test_hevc_made(void)
{
    size_t                i, n, zeros;
    u_char               *nal;
    ngx_mc_track_info_t   info;

    memset(made, 0, sizeof(made));
    made_bits = 0;

    put(0, 4);
    put(2, 3);                          /* sps_max_sub_layers_minus1 */
    put(1, 1);
    put(2, 8);                          /* general_profile_idc */
    put(0x60000000, 32);
    put(0x90000000, 32);
    put(0, 16);
    put(123, 8);                        /* general_level_idc */
    put(3, 2);                          /* sub-layer 0: both */
    put(1, 2);                          /* sub-layer 1: level */
    put(0, 12);
    for (i = 0; i < 12; i++) {
        put(0xff, 8);                   /* profile 88 bits, level 8 */
    }
    put(0xff, 8);

    put_ue(0);
    put_ue(3);                          /* 4:4:4 */
    put(0, 1);
    put_ue(1920);
    put_ue(1088);
    put(1, 1);
    put_ue(0);
    put_ue(0);
    put_ue(0);
    put_ue(8);
    put_ue(4);
    put_ue(4);
    put_ue(4);                          /* log2_max_poc_lsb 8 */
    put(1, 1);
    for (i = 0; i < 9; i++) {
        put_ue(i);
    }
    for (i = 0; i < 6; i++) {
        put_ue(i);
    }
    put(1, 1);                          /* scaling lists */
    put(1, 1);
    for (i = 0; i < 20; i++) {
        if (i % 2) {
            put(0, 1);
            put_ue(1);

        } else {
            put(1, 1);
            if (i >= 12) {
                put_ue(7);
            }
            for (n = 0; n < ((i < 6) ? 16 : 64); n++) {
                put_ue(n);
            }
        }
    }
    put(3, 2);
    put(1, 1);                          /* PCM */
    put(0x77, 8);
    put_ue(0);
    put_ue(2);
    put(1, 1);

    put_ue(3);                          /* sets */
    put_ue(2);                          /* 0: 2 + 1 pictures */
    put_ue(1);
    for (i = 0; i < 3; i++) {
        put_ue(i);
        put(1, 1);
    }
    put(1, 1);                          /* 1: from 0, 4 flags, 3 pictures */
    put(1, 1);
    put_ue(0);
    put(1, 1);
    put(1, 2);
    put(0, 2);
    put(1, 1);
    put(1, 1);                          /* 2: from 1, 4 flags */
    put(0, 1);
    put_ue(5);
    put(0, 2);
    put(0, 2);
    put(1, 1);
    put(1, 2);

    put(1, 1);                          /* long-term */
    put_ue(2);
    put(0x1ff, 9);
    put(0x0aa, 9);
    put(3, 2);

    put(1, 1);                          /* VUI */
    put(0, 4);
    put(0, 1);
    put(1, 1);                          /* field_seq_flag */
    put(1, 1);
    put(1, 1);
    for (i = 0; i < 4; i++) {
        put_ue(i);
    }
    put(1, 1);
    put(1001, 32);
    put(60000, 32);
    put(0, 1);
    put(1, 1);

    nal = malloc(2 + sizeof(made) * 2);
    nal[0] = 0x42;
    nal[1] = 0x01;
    n = 2;
    zeros = 0;

    for (i = 0; i < (made_bits + 7) / 8; i++) {

        if (zeros == 2 && made[i] <= 3) {
            nal[n++] = 3;
            zeros = 0;
        }

        nal[n++] = made[i];
        zeros = made[i] ? 0 : zeros + 1;
    }

    memset(&info, 0, sizeof(info));
    is_num(ngx_mc_hevc_sps(nal, n, &info), NGX_OK, "HEVC with everything");
    is_num(info.profile, 2, "profile");
    is_num(info.level, 123, "level");
    is_num(info.width, 1920, "width");
    is_num(info.height, 1080, "height");
    is_num(info.interlaced, 1, "fields");
    is_num(info.frame_num, 30000, "frame rate, of frames");
    is_num(info.frame_den, 1001, "denominator");

    nal[1] = 0x09;
    ok(ngx_mc_hevc_sps(nal, n, &info) == NGX_ERROR, "another layer");
    free(nal);
}


static void
test_config(void)
{
    size_t                  n, i;
    u_char                 *buf, *p;
    char                    expected[1024];
    bytes_t                 b[3], c;
    video_t                *v;
    ngx_uint_t              nsets, bad;
    ngx_mc_track_info_t     info;
    ngx_mc_video_config_t   cfg, back;

    for (v = videos; v->name; v++) {
        memset(&cfg, 0, sizeof(cfg));
        nsets = 0;

        if (v->vps) {
            b[nsets++] = hex(v->vps);
        }

        b[nsets++] = hex(v->sps);
        b[nsets++] = hex(v->pps);

        /* in any order */

        for (i = 0; i < nsets; i++) {
            cfg.sets[i].data = b[nsets - 1 - i].data;
            cfg.sets[i].len = b[nsets - 1 - i].len;
        }

        cfg.nsets = nsets;

        buf = malloc(1024);
        n = ngx_mc_video_config_write(v->codec, &cfg, buf, 1024);
        ok(n, "%s: configuration", v->name);

        p = malloc(n);
        memcpy(p, buf, n);

        if (v->codec == NGX_MC_CODEC_H264) {
            sprintf(expected, "01%.6sffe1%04zx%s01%04zx%s%s", v->sps + 2,
                    b[0].len, v->sps, b[1].len, v->pps, v->end);
            is_c(text(p, n), expected, "%s: avcC", v->name);
        }

        memset(&info, 0, sizeof(info));
        is_num(ngx_mc_video_config_read(v->codec, p, n, &back, &info), NGX_OK,
               "%s: read back", v->name);
        is_num(back.nsets, nsets, "%s: sets", v->name);
        is_num(back.length_size, 4, "%s: length size", v->name);
        is_num(info.width, v->width, "%s: width from it", v->name);

        for (i = 0; i < nsets; i++) {
            ok(back.sets[i].len == b[i].len
               && memcmp(back.sets[i].data, b[i].data, b[i].len) == 0,
               "%s: set %zu", v->name, i);
        }

        /* the length has to be known beforehand */

        is_num(ngx_mc_video_config_write(v->codec, &cfg, buf, n - 1), 0,
               "%s: does not fit", v->name);
        is_num(ngx_mc_video_config_write(v->codec, &cfg, buf, n), n,
               "%s: just fits", v->name);

        bad = 0;

        for (i = 0; i < n - ((v->end && *v->end) ? 4 : 0); i++) {
            u_char  *cut = malloc(i ? i : 1);

            memcpy(cut, p, i);
            bad += ngx_mc_video_config_read(v->codec, cut, i, &back, &info)
                   != NGX_ERROR;
            free(cut);
        }

        is_num(bad, 0, "%s: configuration cut short", v->name);

        cfg.nsets = 1;
        is_num(ngx_mc_video_config_write(v->codec, &cfg, buf, 1024), 0,
               "%s: sets missing", v->name);

        free(p);
        free(buf);

        for (i = 0; i < nsets; i++) {
            free(b[i].data);
        }
    }

    /* as libavformat writes them */

    c = hex("017a0020ffe10019677a0020b6cb402802dd80880000030008000003032078c1"
            "9501000468ce0fc8fefafa00");
    is_num(ngx_mc_video_config_read(NGX_MC_CODEC_H264, c.data, c.len, &cfg,
                                    &info), NGX_OK, "avcC of another");
    is_num(cfg.nsets, 2, "its sets");
    buf = malloc(c.len);
    is_num(ngx_mc_video_config_write(NGX_MC_CODEC_H264, &cfg, buf, c.len),
           c.len, "written again");
    ok(memcmp(buf, c.data, c.len) == 0, "the same");
    free(buf);

    c.data[4] = 0xfe;
    ok(ngx_mc_video_config_read(NGX_MC_CODEC_H264, c.data, c.len, &cfg, &info)
       == NGX_ERROR, "lengths of 3 bytes");
    c.data[4] = 0xfd;
    is_num(ngx_mc_video_config_read(NGX_MC_CODEC_H264, c.data, c.len, &cfg,
                                    &info), NGX_OK, "lengths of 2 bytes");
    is_num(cfg.length_size, 2, "length size 2");
    c.data[0] = 2;
    ok(ngx_mc_video_config_read(NGX_MC_CODEC_H264, c.data, c.len, &cfg, &info)
       == NGX_ERROR, "another version");
    free(c.data);

    c = hex("0102200000009000000000005df000fcfdfafa00000f03a00001001840010c01"
            "ffff02200000030090000003000003005d959409a10001003442010102200000"
            "030090000003000003005da00280802d136595952930bc05a02000007d20000e"
            "a60c1392cdc001e848003d0910a2000100064401c073c189");
    is_num(ngx_mc_video_config_read(NGX_MC_CODEC_HEVC, c.data, c.len, &cfg,
                                    &info), NGX_OK, "hvcC of another");
    is_num(cfg.nsets, 3, "its sets");
    buf = malloc(c.len);
    n = ngx_mc_video_config_write(NGX_MC_CODEC_HEVC, &cfg, buf, c.len);
    ok(n, "written again");
    ok(memcmp(buf, c.data, 13) == 0, "profile, tier, level are the same");
    ok(memcmp(buf + 15, c.data + 15, 6) == 0, "and chroma, bit depth, rate");
    is_num(buf[21], c.data[21], "and layers, nesting, length size");
    free(buf);
    free(c.data);
}


static void
test_nal(void)
{
    u_char        *p, *last;
    bytes_t        b;
    ngx_uint_t     n;
    ngx_mc_nal_t   nal;

    b = hex("ff0000000109f000000001670100000003000001680000000000010000016500");
    p = b.data;
    last = p + b.len;

    p = ngx_mc_nal_next(p, last, &nal);
    is_c(text(nal.data, nal.len), "09f0", "behind a code of 4 bytes");
    p = ngx_mc_nal_next(p, last, &nal);
    is_c(text(nal.data, nal.len), "670100000003", "before a code of 3");
    p = ngx_mc_nal_next(p, last, &nal);
    is_c(text(nal.data, nal.len), "68", "zero bytes are of no NAL unit");
    p = ngx_mc_nal_next(p, last, &nal);
    is_c(text(nal.data, nal.len), "65", "nor is an empty one between codes");
    ok(ngx_mc_nal_next(p, last, &nal) == NULL, "no more");
    free(b.data);

    for (n = 0; n < 8; n++) {
        b = hex("0000000000000001");
        ok(ngx_mc_nal_next(b.data, b.data + n, &nal) == NULL,
           "nothing in %u bytes", (unsigned) n);
        free(b.data);
    }

    b = hex("0101010000010100000101");
    ok(ngx_mc_nal_start(b.data, b.data + b.len) == b.data + 3, "start code");
    ok(ngx_mc_nal_start(b.data + 4, b.data + b.len) == b.data + 7,
       "the next one");
    ok(ngx_mc_nal_start(b.data + 8, b.data + b.len) == b.data + b.len,
       "none left");
    free(b.data);
}


/* headers that ffmpeg's trace_headers tells */

typedef struct {
    const char  *nal;
    unsigned     type, ref_idc, idr, frame_num, poc_lsb;
} slice_t;

static slice_t  slices[] = {
    { "6588840067ccff9e72d4990d", 2, 3, 1, 0, 0 },
    { "419a236c421fca910c8e3fd0", 0, 2, 0, 1, 6 },
    { "419e4178853ff0302aa85a2c", 1, 2, 0, 2, 2 },
    { "019e62442dffbf1797af6b9f", 1, 0, 0, 3, 4 },
    { "419a6534a4c29e16ff549438", 0, 2, 0, 3, 10 },
    { "019e84442dffb46be20938cc", 1, 0, 0, 4, 8 },
    { NULL, 0, 0, 0, 0, 0 }
};

static slice_t  slices_interlaced[] = {
    { "6588822c1dffcaacfdd09bd9", 2, 3, 1, 0, 1 },
    { "4188895821ffcbd666e7691c", 2, 2, 0, 1, 5 },
    { "019e437e435ffc060aaaba8e", 1, 0, 0, 2, 3 },
    { "419a477f252c29ff707b662d", 0, 2, 0, 2, 7 },
    { NULL, 0, 0, 0, 0, 0 }
};


static void
run_slices(slice_t *s, const char *sps_hex)
{
    bytes_t               b;
    ngx_mc_h264_sps_t     h;
    ngx_mc_track_info_t   info;
    ngx_mc_h264_slice_t   slice, prev;

    b = hex(sps_hex);
    is_num(ngx_mc_h264_sps_read(b.data, b.len, &info, &h), NGX_OK, "SPS");
    free(b.data);

    memset(&prev, 0xff, sizeof(prev));

    for ( /* void */ ; s->nal; s++) {
        b = hex(s->nal);

        is_num(ngx_mc_h264_slice(b.data, b.len, &h, &slice), NGX_OK,
               "slice %s", s->nal);
        is_num(slice.first_mb, 0, "first_mb_in_slice");
        is_num(slice.type, s->type, "slice_type");
        is_num(slice.pps_id, 0, "pic_parameter_set_id");
        is_num(slice.ref_idc, s->ref_idc, "nal_ref_idc");
        is_num(slice.idr, s->idr, "IDR");
        is_num(slice.frame_num, s->frame_num, "frame_num");
        is_num(slice.poc_lsb, s->poc_lsb, "pic_order_cnt_lsb");
        is_num(slice.field, 0, "field_pic_flag");

        ok(ngx_mc_h264_slice_begins(&prev, &slice), "another picture");
        prev = slice;
        ok(!ngx_mc_h264_slice_begins(&prev, &slice), "the same picture");

        ok(ngx_mc_h264_slice(b.data, 1, &h, &slice) == NGX_ERROR,
           "no header");
        free(b.data);
    }
}


static void
test_slice(void)
{
    bytes_t              b;
    ngx_uint_t           key;
    ngx_mc_h264_sps_t    h;
    ngx_mc_h264_slice_t  top, bottom;

    run_slices(slices, videos[3].sps);
    run_slices(slices_interlaced, videos[2].sps);

    /* by hand: first_mb_in_slice 0, slice_type 7, pic_parameter_set_id 0,
       frame_num of 4 bits, field_pic_flag, bottom_field_flag if that is set,
       pic_order_cnt_lsb of 4 bits */

    memset(&h, 0, sizeof(h));
    h.log2_max_frame_num = 4;
    h.log2_max_poc_lsb = 4;

    b = hex("4188baa0");          /* 1 0001000 1 0111 0 1000 */
    is_num(ngx_mc_h264_slice(b.data, b.len, &h, &top), NGX_OK, "frame");
    is_num(top.frame_num, 7, "its frame_num");
    is_num(top.field, 0, "no field");
    free(b.data);

    b = hex("4188bc40");          /* 1 0001000 1 0111 1 0 0010 */
    is_num(ngx_mc_h264_slice(b.data, b.len, &h, &top), NGX_OK, "top field");
    is_num(top.frame_num, 7, "its frame_num");
    is_num(top.field, 1, "its field_pic_flag");
    is_num(top.bottom, 0, "its bottom_field_flag");
    is_num(top.poc_lsb, 2, "its pic_order_cnt_lsb");
    free(b.data);

    b = hex("4188be60");          /* 1 0001000 1 0111 1 1 0011 */
    is_num(ngx_mc_h264_slice(b.data, b.len, &h, &bottom), NGX_OK,
           "bottom field");
    is_num(bottom.bottom, 1, "its bottom_field_flag");
    is_num(bottom.poc_lsb, 3, "its pic_order_cnt_lsb");
    free(b.data);

    ok(ngx_mc_h264_slice_begins(&top, &bottom), "another picture");
    ok(ngx_mc_h264_slice_pairs(&top, &bottom), "of the same frame");
    ok(!ngx_mc_h264_slice_pairs(&top, &top), "not of the same parity");

    bottom.frame_num++;
    ok(!ngx_mc_h264_slice_pairs(&top, &bottom), "not of another frame");

    /* key frames */

    b = hex("6588840067cc");
    key = ngx_mc_h264_key(0, b.data, b.len);
    ok(ngx_mc_video_is_key(key), "IDR");
    free(b.data);

    b = hex("060601c480");
    key = ngx_mc_h264_key(0, b.data, b.len);
    ok(!ngx_mc_video_is_key(key), "a recovery point alone");
    free(b.data);

    b = hex("4188895821ffcb");
    ok(ngx_mc_video_is_key(ngx_mc_h264_key(key, b.data, b.len)),
       "with an I slice");
    ok(!ngx_mc_video_is_key(ngx_mc_h264_key(0, b.data, b.len)),
       "not without it");
    key = ngx_mc_h264_key(key, b.data, b.len);
    free(b.data);

    b = hex("419a477f252c29");
    ok(ngx_mc_video_is_key(ngx_mc_h264_key(key, b.data, b.len)),
       "a P field behind");
    free(b.data);

    b = hex("0601013206014480");  /* recovery_frame_cnt 1, behind pic timing */
    ok(!(ngx_mc_h264_key(0, b.data, b.len) & NGX_MC_KEY_RECOVERY),
       "recovery after a while");
    key = ngx_mc_h264_key(0, b.data, b.len);
    ok(!ngx_mc_video_is_key(key), "that alone");
    free(b.data);

    b = hex("419a477f252c29");
    ok(ngx_mc_video_is_key(ngx_mc_h264_key(key, b.data, b.len)),
       "with a P slice: intra refresh begins");
    free(b.data);

    b = hex("060601");            /* cut off */
    key = ngx_mc_h264_key(0, b.data, b.len);
    free(b.data);

    b = hex("419a477f252c29");
    ok(!ngx_mc_video_is_key(ngx_mc_h264_key(key, b.data, b.len)),
       "a recovery point that is cut off");
    free(b.data);

    b = hex("060101320601c480");
    ok(ngx_mc_h264_key(0, b.data, b.len) & NGX_MC_KEY_RECOVERY,
       "recovery at once");
    free(b.data);

    b = hex("2801ac210b8c");
    ok(ngx_mc_hevc_is_key(b.data), "HEVC IDR_N_LP");
    ok(ngx_mc_hevc_is_first(b.data, b.len), "first slice segment");
    free(b.data);

    b = hex("0201d0115620");
    ok(!ngx_mc_hevc_is_key(b.data), "HEVC TRAIL_R");
    ok(ngx_mc_hevc_is_slice(b.data), "a slice");
    free(b.data);

    b = hex("4e0101030000");
    ok(!ngx_mc_hevc_is_slice(b.data), "SEI is no slice");
    is_num(ngx_mc_hevc_key(0, b.data, b.len), 0, "nor a recovery point");
    free(b.data);

    /* recovery_poc_cnt 15, behind a picture timing */

    b = hex("4e0101020000060207c080");
    key = ngx_mc_hevc_key(0, b.data, b.len);
    ok(key & NGX_MC_KEY_GRADUAL, "HEVC recovery point");
    ok(!ngx_mc_video_is_key(key), "no key frame without a slice");
    ok(ngx_mc_hevc_key(0, b.data, 6) == 0, "cut short");
    free(b.data);

    b = hex("0201d0115620");
    ok(ngx_mc_video_is_key(ngx_mc_hevc_key(key, b.data, b.len)),
       "a key frame with one");
    key = ngx_mc_hevc_key(0, b.data, b.len);
    ok(!ngx_mc_video_is_key(key), "TRAIL_R alone is none");
    free(b.data);

    b = hex("2801ac210b8c");
    ok(!ngx_mc_video_is_key(ngx_mc_hevc_key(key, b.data, b.len)),
       "the first slice tells");
    ok(ngx_mc_video_is_key(ngx_mc_hevc_key(0, b.data, b.len)), "IDR");
    free(b.data);
}


typedef struct {
    const char  *hex;
    unsigned     type, index, channels, size, header, blocks, rate;
} adts_t;

static adts_t  adts_headers[] = {
    { "fff14c8024fffc", 2, 3, 2, 295, 7, 1, 48000 },
    { "fff15040213ffc", 2, 4, 1, 265, 7, 1, 44100 },
    { "fff14d805fbffc", 2, 3, 6, 765, 7, 1, 48000 },
    { "fff84c8024fffc", 2, 3, 2, 295, 9, 1, 48000 },
    { "fff84c8024fffd", 2, 3, 2, 295, 11, 2, 48000 },
    { NULL, 0, 0, 0, 0, 0, 0, 0 }
};


typedef struct {
    const char  *hex;
    unsigned     type, rate, channels;
    const char  *adts;        /* of a frame of 100 bytes */
} config_t;

static config_t  configs[] = {
    { "1190", 2, 48000, 2, "fff14c800d7ffc" },
    { "1210", 2, 44100, 2, "fff150800d7ffc" },
    { "11b0", 2, 48000, 6, "fff14d800d7ffc" },
    { "11b8", 2, 48000, 8, "fff14dc00d7ffc" },
    { "0a10", 1, 44100, 2, "fff110800d7ffc" },
    { "1190" "56e500", 2, 48000, 2, "fff14c800d7ffc" },
    { "1310" "56e59d", 5, 48000, 2, "fff158800d7ffc" },
    { "1308" "56e59d" "4880", 29, 48000, 2, "fff158400d7ffc" },
    { "2b118800", 5, 48000, 2, "fff158800d7ffc" },
    { "eb098800", 29, 48000, 2, "fff158400d7ffc" },
    { "1780" "5622" "10", 2, 44100, 2, "fff150800d7ffc" },
    { "1780" "5000" "10", 2, 40960, 2, NULL },
    { "f8e82000", 39, 44100, 1, NULL },
    { "1194", 2, 48000, 2, NULL },          /* 960 samples */
    { "1180" "04c800000100" "00", 2, 48000, 3,
      "fff14c000e5ffc" "a0990000002000" },

    /* ffmpeg's, of a quad, with a comment and a sync extension */
    { "1200" "050404002110" "0d4c61766335392e33372e313030" "56e500",
      2, 44100, 4, "fff150000e5ffc" "a0a08080042200" },
    { NULL, 0, 0, 0, NULL }
};


static void
test_aac(void)
{
    size_t                size;
    u_char                buf[NGX_MC_ADTS_MAX], frame[1], asc[2];
    bytes_t               b;
    adts_t               *a;
    config_t             *c;
    ngx_mc_adts_t         adts;
    ngx_mc_track_info_t   info;

    frame[0] = 0x21;

    for (a = adts_headers; a->hex; a++) {
        b = hex(a->hex);

        is_num(ngx_mc_adts_read(b.data, b.len, &adts), NGX_OK, "ADTS %s",
               a->hex);
        is_num(adts.object_type, a->type, "object type");
        is_num(adts.frequency_index, a->index, "frequency");
        is_num(adts.channel_config, a->channels, "channels");
        is_num(adts.size, a->size, "size");
        is_num(adts.header, a->header, "header");
        is_num(adts.blocks, a->blocks, "blocks");
        is_num(adts.sample_rate, a->rate, "Hz");

        is_num(ngx_mc_aac_config_write(&adts, asc), 2, "configuration");
        is_num(ngx_mc_aac_config_read(asc, 2, &info), NGX_OK, "read back");
        is_num(info.profile, a->type, "object type");
        is_num(info.sample_rate, a->rate, "Hz");
        is_num(info.channels, a->channels, "channels");

        if (a->header == 7) {
            is_num(ngx_mc_adts_write(buf, &size, frame, a->size - 7, asc, 2),
                   NGX_OK,
                   "ADTS again");
            is_c(text(buf, 7), a->hex, "the same");
        }

        ok(ngx_mc_adts_read(b.data, b.len - 1, &adts) == NGX_ERROR, "short");
        b.data[2] |= 0x3c;
        ok(ngx_mc_adts_read(b.data, b.len, &adts) == NGX_ERROR, "frequency");
        free(b.data);
    }

    for (c = configs; c->hex; c++) {
        b = hex(c->hex);

        is_num(ngx_mc_aac_config_read(b.data, b.len, &info), NGX_OK,
               "AudioSpecificConfig %s", c->hex);
        is_num(info.profile, c->type, "%s: object type", c->hex);
        is_num(info.sample_rate, c->rate, "%s: Hz", c->hex);
        is_num(info.channels, c->channels, "%s: channels", c->hex);

        is_num(ngx_mc_adts_write(buf, &size, frame, 100, b.data, b.len),
               c->adts ? NGX_OK : NGX_DECLINED, "%s: ADTS", c->hex);

        if (c->adts) {
            is_c(text(buf, size), c->adts, "%s: its bytes", c->hex);
        }

        ok(ngx_mc_aac_config_read(b.data, 1, &info) == NGX_ERROR,
           "%s: cut short", c->hex);
        free(b.data);
    }

    b = hex("1190");
    is_num(ngx_mc_adts_write(buf, &size, frame, 8184, b.data, b.len), NGX_OK,
           "largest");
    is_num(size, 7, "a header alone");
    is_num(ngx_mc_adts_write(buf, &size, frame, 8185, b.data, b.len),
           NGX_DECLINED, "too large");
    is_num(ngx_mc_adts_write(buf, &size, frame, 100, b.data, 0), NGX_ERROR,
           "none");
    free(b.data);

    /* the block has a program_config_element of its own */

    b = hex("1200" "05040400211000");
    frame[0] = 0xa1;
    is_num(ngx_mc_adts_write(buf, &size, frame, 100, b.data, b.len), NGX_OK,
           "with an element");
    is_c(text(buf, size), "fff150000d7ffc", "none is added");
    frame[0] = 0x21;
    is_num(ngx_mc_adts_write(buf, &size, frame, 8177, b.data, b.len), NGX_OK,
           "largest with one");
    is_num(ngx_mc_adts_write(buf, &size, frame, 8178, b.data, b.len),
           NGX_DECLINED, "too large with one");
    is_num(ngx_mc_adts_write(buf, &size, NULL, 0, b.data, b.len), NGX_OK,
           "no block");
    is_num(size, 14, "its length");
    free(b.data);

    /* the longest one: 15 of each */

    b = hex("1180" "04fffffffbf7" "0000000000000000000000000000000000000000"
            "0000000000000000000000000000000000000000000000000000000000");
    is_num(ngx_mc_adts_write(buf, &size, frame, 100, b.data, b.len), NGX_OK,
           "a long one");
    ok(size > 40 && size <= NGX_MC_ADTS_MAX, "fits: %zu", size);
    free(b.data);

    memset(&adts, 0, sizeof(adts));
    adts.object_type = 2;
    is_num(ngx_mc_aac_config_write(&adts, asc), 0, "channels in the frames");
}


typedef struct {
    const char  *hex;
    unsigned     codec, profile, channels, rate, bitrate, size, samples;
} mpa_t;

static mpa_t  mpas[] = {
    { "fffb9064", NGX_MC_CODEC_MP3, 34, 2, 44100, 128000, 417, 1152 },
    { "fffb9264", NGX_MC_CODEC_MP3, 34, 2, 44100, 128000, 418, 1152 },
    { "fff380c4", NGX_MC_CODEC_MP3, 34, 1, 22050, 64000, 208, 576 },
    { "ffe328c4", NGX_MC_CODEC_MP3, 34, 1, 8000, 16000, 144, 576 },
    { "fffda404", NGX_MC_CODEC_MP2, 33, 2, 48000, 192000, 576, 1152 },
    { "fff58404", NGX_MC_CODEC_MP2, 33, 2, 24000, 64000, 384, 1152 },
    { "ffffc404", NGX_MC_CODEC_MP2, 32, 2, 48000, 384000, 384, 384 },
    { "fff7c804", NGX_MC_CODEC_MP2, 32, 2, 16000, 192000, 576, 384 },
    { NULL, 0, 0, 0, 0, 0, 0, 0 }
};

static const char  *bad_mpas[] = {
    "fffb0064",                            /* free format */
    "fffbf064",
    "fffb9c64",
    "ffeb9064",
    "fff99064",
    "fefb9064",
    "ffdb9064",
    "fffb90",
    NULL
};


static void
test_mpa(void)
{
    mpa_t                *m;
    bytes_t               b;
    uint32_t              size, samples;
    const char          **bad;
    ngx_mc_track_info_t   info;

    for (m = mpas; m->hex; m++) {
        b = hex(m->hex);
        is_num(ngx_mc_mpa_read(b.data, b.len, &info, &size, &samples), NGX_OK,
               "MPEG audio %s", m->hex);
        is_num(info.codec, m->codec, "%s: codec", m->hex);
        is_num(info.profile, m->profile, "%s: layer", m->hex);
        is_num(info.channels, m->channels, "%s: channels", m->hex);
        is_num(info.sample_rate, m->rate, "%s: Hz", m->hex);
        is_num(info.bitrate, m->bitrate, "%s: bit/s", m->hex);
        is_num(size, m->size, "%s: size", m->hex);
        is_num(samples, m->samples, "%s: samples", m->hex);
        free(b.data);
    }

    for (bad = bad_mpas; *bad; bad++) {
        b = hex(*bad);
        ok(ngx_mc_mpa_read(b.data, b.len, &info, &size, &samples)
           == NGX_ERROR, "%s is none", *bad);
        free(b.data);
    }
}


int
main(void)
{
    test_names();
    test_bits();
    test_sps();
    test_hevc_made();
    test_config();
    test_nal();
    test_slice();
    test_aac();
    test_mpa();

    return shim_done();
}
