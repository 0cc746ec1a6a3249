"""Options in a URL: each is known, and any other is refused by name, unless it may be a part of a password."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final

NAME: Final = re.compile(r"[A-Za-z][\w.-]{0,40}")
OF_OTHER_DRIVERS: Final = """
adaptivefetch allowencodingchanges allowloadlocalinfile allowmultiqueries allownanandinf
assumeminserverversion auth_plugin authenticationpluginclassname autocommit binarytransfer cancelsignaltimeout
cleanupsavepoints clientcertificatekeystoreurl connectionattributes cursorclass databasemetadatacachefields db
defaultauthenticationplugin disablecolumnsanitiser enabledsslprotocolsuites enabledtlsprotocols
escapesyntaxcallmode galeraallowedstate gssresponsetimeout hiddenunprivilegedcolumns hostaddr hostrecheckseconds
init_command jaasapplicationname jaaslogin kerberosservername keystore loadbalancehosts local_infile
localsocketaddress logunclosedconnections maxresultbuffer maxsendbuffersize noaccesstoprocedurebodies
pemkeyalgorithm placeholders plugin_dir pool_size poolvalidmindelay prefermode preferquerymode
preparedstatementcachequeries profilesql program_name protocolversion querytimeout quotereturningidentifiers
read_default_file receivebuffersize replication requireauth sendbuffersize service sessionvariables socketfactory
sql_mode sslfactory sslfactoryarg sslhostnameverifier sslpasswordcallback sslresponsetimeout sspiserviceclass
targetservertype tcpkeepalive tlsciphersuites tlsversions trustcertificatekeystorepassword
trustcertificatekeystoretype trustcertificatekeystoreurl truststore unix_socket unknownlength usebulkstmts
usecompression usecursorfetch usespnego xmlfactoryfactory yearisdatetype
"""
FOREIGN: Final = frozenset(OF_OTHER_DRIVERS.split())
"""Options of JDBC's drivers and of others for Python, in lower case: such a word is the end of nobody's password."""


def check_options(given: Iterable[str], taken: Collection[str]) -> None:
    """Raise ValueError where an option is not taken.

    It is named, unless it follows a password: then it may be the end of one that has a & in it.
    """
    secret = False
    for name in given:
        if name not in taken:
            named = name.lower() in FOREIGN or (not secret and NAME.fullmatch(name))
            which = f"the option {name}, which is" if named else "an option that is"
            message = f"the URL has {which} none of {', '.join(sorted(taken))} (a & in a password is %26)"
            raise ValueError(message)
        secret = secret or name == "password"
