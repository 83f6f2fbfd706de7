#!/bin/sh
# A CA and one server certificate for the names `postgres` and `redis`, into /tls.
# Python 3.13 checks strictly: the CA needs a key usage, the certificate an authority key identifier.
set -eu
cd /tls
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=wayfare test CA" \
  -addext 'keyUsage=critical,keyCertSign,cRLSign' -keyout ca.key -out ca.crt
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=backing" -keyout tls.key -out tls.csr
printf '%s\n' subjectAltName=DNS:postgres,DNS:redis authorityKeyIdentifier=keyid subjectKeyIdentifier=hash > names
openssl x509 -req -days 2 -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -extfile names -out tls.crt
chmod 0644 ./*
